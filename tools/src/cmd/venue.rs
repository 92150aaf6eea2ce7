//! `tickpath venue`.

use super::{print, stop_flag};
use crate::{
    template::KeyFile,
    venue::{
        AccountStart, FaultFile, Faults, Limits, Market, Server, Speed, TlsFiles, Upstream, VenueOptions,
    },
};
use anyhow::{Result, bail};
use clap::Args;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::atomic::Ordering};
use tickpath_hotpath::sim::FeeRates;
use tickpath_shared::{clock::unix_ns_now, config::SHARE_E8_MAX, types::decimal};

/// Damage to the market data on its way to the clients.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct FaultArguments {
    /// Probability that a market line is lost
    #[arg(long, default_value_t = 0.0)]
    drop: f64,
    /// Probability that a market line comes twice
    #[arg(long, default_value_t = 0.0)]
    repeat: f64,
    /// Probability that a market line changes places with the next
    #[arg(long, default_value_t = 0.0)]
    swap: f64,
    /// Probability that a market line is of an irregular shape
    #[arg(long, default_value_t = 0.0)]
    irregular: f64,
}

impl FaultArguments {
    pub(super) fn with_seed(self, seed: u64) -> Faults {
        let Self { drop, repeat, swap, irregular } = self;
        Faults { drop, repeat, swap, irregular, seed }
    }
}

/// Arguments of the simulator.
#[derive(Debug, Args)]
pub(super) struct VenueArguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9010")]
    listen: SocketAddr,
    /// Keys of the account, as `secrets/venue_keys.json` of a run directory
    #[arg(long)]
    keys: PathBuf,
    /// Recorded captures instead of the synthetic market, merged on receive time
    #[arg(long, num_args = 1..)]
    capture: Vec<PathBuf>,
    /// Relay the public streams of another venue while they happen: ws:// or wss:// without the route
    #[arg(long, requires = "upstream_rest", conflicts_with_all = ["capture", "is_looped"])]
    upstream: Option<String>,
    /// Where that venue is asked for its books: http:// or https://
    #[arg(long, requires = "upstream")]
    upstream_rest: Option<String>,
    /// A further certificate authority (PEM) for it
    #[arg(long, requires = "upstream")]
    upstream_ca: Option<PathBuf>,
    /// Pace of the market: 1 is original, N is N times faster, max is as fast as clients answer pings behind the lines
    #[arg(long, default_value = "1")]
    speed: Speed,
    /// Seed of the synthetic market and of faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start a capture over at its end
    #[arg(long = "loop")]
    is_looped: bool,
    /// Created when the market has come to its end
    #[arg(long)]
    done_file: Option<PathBuf>,
    /// Certificate (PEM) for TLS; needs --key
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Key (PEM) of the certificate
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Request weight of an address in a minute
    #[arg(long, default_value_t = Limits::default().weight_1m, overrides_with = "weight_1m")]
    weight_1m: u64,
    /// Orders in ten seconds
    #[arg(long, default_value_t = Limits::default().orders_10s, overrides_with = "orders_10s")]
    orders_10s: u64,
    /// Orders in a minute
    #[arg(long, default_value_t = Limits::default().orders_1m, overrides_with = "orders_1m")]
    orders_1m: u64,
    /// Wallet balance at the start, USDT
    #[arg(long, default_value = "100000", overrides_with = "balance")]
    balance: String,
    /// Commission of an order that rested, as a share: 0.0002
    #[arg(long, default_value = "0.0002", overrides_with = "maker_fee", allow_hyphen_values = true)]
    maker_fee: String,
    /// Commission of an order that took, as a share
    #[arg(long, default_value = "0.0005", overrides_with = "taker_fee", allow_hyphen_values = true)]
    taker_fee: String,
    /// Share of the displayed price by which what an order takes is dearer, within its limit
    #[arg(long, default_value = "0", overrides_with = "slippage")]
    slippage: String,
    /// The account holds long and short positions apart
    #[arg(long)]
    hedge: bool,
    /// The rights of the keys say that they may withdraw
    #[arg(long)]
    may_withdraw: bool,
    /// What goes wrong and when (TOML); POST /admin/faults takes the same while it runs
    #[arg(long = "faults")]
    fault_file: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultArguments,
}

/// A decimal x 10^8 within bounds that are shown as they are.
fn decimal_e8(name: &str, text: &str, [least, most]: [i64; 2]) -> Result<i64> {
    match decimal::parse(text.as_bytes(), 8) {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        Ok(_) => {
            let [least, most] = [least, most].map(|bound| decimal::to_text(bound, 8));
            bail!("{name}: {text} is not within {least} to {most}")
        }
        Err(e) => bail!("{name}: {text:?}: {e}"),
    }
}

fn account_of(a: &VenueArguments) -> Result<AccountStart> {
    Ok(AccountStart {
        balance_e8: decimal_e8("--balance", &a.balance, [0, i64::MAX])?.into(),
        is_hedge: a.hedge,
        can_withdraw: a.may_withdraw,
        fees: FeeRates {
            maker_e8: decimal_e8("--maker-fee", &a.maker_fee, [-SHARE_E8_MAX, SHARE_E8_MAX])?,
            taker_e8: decimal_e8("--taker-fee", &a.taker_fee, [-SHARE_E8_MAX, SHARE_E8_MAX])?,
        },
        slippage_e8: decimal_e8("--slippage", &a.slippage, [0, SHARE_E8_MAX])?,
        // Whoever keeps fills of a run before must not take those of this one for the same: microseconds since 1970.
        first_id: unix_ns_now() / 1_000,
    })
}

fn market_of(a: &VenueArguments) -> Market {
    match (&a.upstream, &a.upstream_rest) {
        (Some(streams), Some(rest)) => Market::Upstream(Upstream {
            streams: streams.trim_end_matches('/').to_owned(),
            rest: rest.clone(),
            ca_file: a.upstream_ca.clone().unwrap_or_default(),
        }),
        _ if a.capture.is_empty() => Market::Synthetic { seed: a.seed },
        _ => Market::Captures(a.capture.clone()),
    }
}

/// What the file says and what the command line says.
fn faults_of(a: &VenueArguments) -> Result<FaultFile> {
    let mut faults = a.faults.with_seed(a.seed).plan();
    if let Some(path) = &a.fault_file {
        let file = FaultFile::load(path)?;
        faults.seed = if file.seed == 0 { a.seed } else { file.seed };
        faults.fault.extend(file.fault);
    }
    Ok(faults)
}

pub(super) fn run(a: &VenueArguments) -> Result<ExitCode> {
    if !a.listen.ip().is_loopback() {
        bail!("--listen: {} is not a loopback address; the simulator serves loopback only", a.listen);
    }
    let tls = match (&a.certificate, &a.key) {
        (Some(certificate), Some(key)) => {
            Some(TlsFiles { authority: PathBuf::new(), certificate: certificate.clone(), key: key.clone() })
        }
        _ => None,
    };
    let mut server = Server::new(VenueOptions {
        listen: a.listen,
        market: market_of(a),
        speed: a.speed,
        keys: KeyFile::load(&a.keys)?,
        tls,
        faults: faults_of(a)?,
        is_looped: a.is_looped,
        limits: Limits { weight_1m: a.weight_1m, orders_10s: a.orders_10s, orders_1m: a.orders_1m },
        account: account_of(a)?,
    })?;
    print(&format!("venue simulator on {}\n", server.address()));
    let stop = stop_flag()?;
    let done_file = a.done_file.clone();
    let report = server.run_with(|is_finished| {
        if is_finished && let Some(path) = &done_file {
            // A missing file only makes its reader wait for its own deadline.
            let _ = std::fs::write(path, "");
        }
        stop.load(Ordering::Relaxed)
    })?;
    let faults: Vec<String> = report.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
    print(&format!("{} lines; faults: {faults}\n", report.lines));
    Ok(ExitCode::SUCCESS)
}
