//! Who may use the HTTP interface, and who did.

use super::{print, process::DirArguments};
use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use std::{io::Read, process::ExitCode};
use tickpath_control::{
    audit::AuditLog,
    auth::{JwtKeys, LIFE_S_MAX, NewJwt, NewToken, Role, TokenFile, revoke_jwt},
};
use tickpath_shared::{clock::unix_ns_now, config};

const DAY_S: u64 = 86_400;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it; it cannot be shown again
    Create(CreateArguments),
    /// Names, roles and ends of all tokens
    List(ListArguments),
    /// Sign a JSON Web Token for a short while and print it, with its id on stderr
    Issue(IssueArguments),
    /// Forget a token; it opens nothing from the next request on
    Revoke(RevokeArguments),
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// By what it is called in the audit log
    #[arg(long)]
    name: String,
    /// viewer, trader or admin
    #[arg(long, value_parser = role)]
    role: Role,
    /// Days until it opens nothing any more; never without
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: Option<u64>,
}

/// Arguments of `token list`.
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// A JSON array, with the hashes
    #[arg(long)]
    json: bool,
}

/// Arguments of `token revoke`.
#[derive(Debug, Args)]
pub(super) struct RevokeArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Its name
    #[arg(long, required_unless_present = "id", conflicts_with = "id")]
    name: Option<String>,
    /// Id of a JSON Web Token
    #[arg(long)]
    id: Option<String>,
}

/// Arguments of `token issue`.
#[derive(Debug, Args)]
pub(super) struct IssueArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// By what it is called in the audit log, after `jwt:`
    #[arg(long)]
    name: String,
    /// viewer, trader or admin
    #[arg(long, value_parser = role)]
    role: Role,
    /// Minutes that it lives
    #[arg(long, default_value_t = LIFE_S_MAX / 60, value_parser = clap::value_parser!(u64).range(1..=LIFE_S_MAX / 60))]
    minutes: u64,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Rows to show, the newest
    #[arg(long, default_value_t = 20)]
    rows: u32,
    /// One JSON object a row
    #[arg(long)]
    json: bool,
}

fn role(text: &str) -> Result<Role, String> {
    let known = [Role::Viewer, Role::Trader, Role::Admin];
    let found = known.into_iter().find(|role| role.label() == text);
    found.ok_or_else(|| format!("{text:?} is none of {}", known.map(Role::label).join(", ")))
}

fn random_id() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn now_unix_s() -> u64 {
    unix_ns_now() / 1_000_000_000
}

pub(super) fn token(command: &TokenCommand) -> Result<ExitCode> {
    match command {
        TokenCommand::Create(a) => {
            let now = now_unix_s();
            let expires_unix_s = a.days.map(|days| now + days * DAY_S);
            let new = NewToken { name: &a.name, role: a.role, expires_unix_s };
            print(&format!("{}\n", TokenFile::new(&a.dir.open()?).create(&new, now)?));
        }
        TokenCommand::List(a) => {
            let tokens = TokenFile::new(&a.dir.open()?).list()?;
            if a.json {
                print(&format!("{}\n", serde_json::to_string(&tokens)?));
                return Ok(ExitCode::SUCCESS);
            }
            for token in tokens {
                let end = token.expires_unix_s.map_or_else(
                    || "never expires".to_owned(),
                    |end| match end.checked_sub(now_unix_s()).filter(|left| *left > 0) {
                        Some(left) => format!("{} days left", left.div_ceil(DAY_S)),
                        None => "expired".to_owned(),
                    },
                );
                print(&format!("{} {} {end}\n", token.name, token.role));
            }
        }
        TokenCommand::Issue(a) => {
            let data = a.dir.open()?;
            let config = config::load(&data, config::environment())?;
            let id = random_id()?;
            let new = NewJwt { name: &a.name, role: a.role, life_s: a.minutes * 60, id: &id };
            let token = JwtKeys::load(&data, &config.control)?.sign(&new, now_unix_s())?;
            eprintln!("id {id}: tickpath token revoke --id {id} takes it back");
            print(&format!("{token}\n"));
        }
        TokenCommand::Revoke(a) => {
            let data = a.dir.open()?;
            let name = a.name.as_ref().or(a.id.as_ref()).map_or("", String::as_str);
            match &a.id {
                Some(id) => revoke_jwt(&data, id)?,
                None => TokenFile::new(&data).revoke(name)?,
            }
            print(&format!("{name} opens nothing any more\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the whole chain and shows its end.
pub(super) fn audit(a: &AuditArguments) -> Result<ExitCode> {
    let data = a.dir.open()?;
    let config = config::load(&data, config::environment())?;
    let path = data.audit(config.instance.mode.label());
    if !path.exists() {
        bail!("{}: nothing was changed over HTTP yet", path.display());
    }
    let log = AuditLog::open(&path)?;
    let rows =
        log.verify()?.map_err(|row| anyhow!("row {row} of the audit log is missing or was changed"))?;
    let mut shown = log.rows(i64::MAX, a.rows.into())?;
    shown.reverse();
    for row in shown {
        if a.json {
            print(&format!("{}\n", serde_json::to_string(&row)?));
        } else {
            let time = row.time_ns / 1_000_000_000;
            print(&format!(
                "{} {time} {} ({}) from {}: {} {} -> {}\n",
                row.sequence, row.who, row.role, row.peer, row.action, row.detail, row.outcome
            ));
        }
    }
    if !a.json {
        print(&format!("{rows} rows, the chain is whole\n"));
    }
    Ok(ExitCode::SUCCESS)
}
