//! The configuration: a new one, what is wrong with one, what is in force, and what can be configured; a new data
//! directory.

use super::{print, process::DirArguments};
use crate::{settings, template};
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};
use tickpath_hotpath::hot::{self, HotError};
use tickpath_shared::{
    config::{self, Config, KeyKind, Loaded},
    paths::{DataDir, create_private_dir, replace_file},
};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a file with every key, its meaning and its default
    New,
    /// Say what is wrong, with key, value, bound, file and line, and with the files that a data directory's names; code 3 if
    /// something is
    Check(SourceArguments),
    /// Print what is in force; it names files of secrets, never what they hold
    Show(ShowArguments),
    /// Print what can be configured as a JSON Schema
    Schema,
}

/// Where a configuration is.
#[derive(Debug, Args)]
pub(super) struct SourceArguments {
    /// Data directory
    #[arg(long, required_unless_present = "files")]
    dir: Option<PathBuf>,
    /// Files instead of a data directory's, later ones win
    #[arg(conflicts_with = "dir")]
    files: Vec<PathBuf>,
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// A key a line, with where it was configured
    #[arg(long)]
    origins: bool,
}

impl SourceArguments {
    fn load(&self) -> Result<Loaded> {
        let Some(dir) = &self.dir else {
            return Ok(config::load_layers(&self.files, None, config::environment())?);
        };
        let data = DataDir::open(dir).with_context(|| format!("data directory {}", dir.display()))?;
        let dotenv = data.root().join(".env");
        Ok(config::load_layers(&[data.config()], Some(&dotenv), config::environment())?)
    }
}

impl SourceArguments {
    /// Opens the files that the configuration of a data directory names: keys, secrets, roots of trust.
    fn check_files(&self, config: &Config) -> Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let credentials = Arc::new(hot::load_credentials(config)?);
        hot::open_rest(config, &credentials)?;
        let wrong = tickpath_control::check_files(&DataDir::open(dir)?, config);
        if wrong.is_empty() { Ok(()) } else { Err(HotError::Config(wrong.join("\n")).into()) }
    }
}

pub(super) fn config(command: &ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::New => print(&settings::template()?),
        ConfigCommand::Schema => print(&format!("{:#}\n", settings::schema()?)),
        ConfigCommand::Check(source) => {
            let loaded = source.load()?;
            source.check_files(&loaded.config)?;
            let (mode, keys) = (loaded.config.instance.mode.label(), loaded.origins.iter().count());
            print(&format!("sound: mode {mode}, {keys} keys configured, the others have their defaults\n"));
        }
        ConfigCommand::Show(a) => {
            let loaded = a.source.load()?;
            print(&if a.origins { settings::origins(&loaded)? } else { toml::to_string(&loaded.config)? });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArguments {
    #[command(flatten)]
    dir: DirArguments,
    /// Where the simulator will listen
    #[arg(long, default_value = "127.0.0.1:9010")]
    venue: SocketAddr,
    /// Where the control process will listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    control: SocketAddr,
}

/// A data directory for a simulation, with keys of its own; an existing one is left alone.
pub(super) fn init(a: &InitArguments) -> Result<ExitCode> {
    let data = a.dir.open()?;
    let file = data.config();
    ensure!(!file.exists(), "{} is there already; nothing was changed", file.display());
    create_private_dir(data.root())?;
    let keys = template::generate_keys(&data, KeyKind::Ed25519)?;
    let (threads, _) = template::threads_text(1, &[]);
    let simulation = template::Simulation {
        venue: a.venue,
        control: a.control,
        threads,
        overload: "shed",
        key_kind: KeyKind::Ed25519,
        authority: None,
        order_rate_max: 200,
        leg_timeout_ms: 2_000,
        book_venue_age_ms_max: 3_000,
    };
    replace_file(&file, template::config_text(&data, &simulation).as_bytes())?;
    let (dir, venue) = (data.root().display(), a.venue);
    print(&format!(
        "{dir} is ready: a simulation with keys of its own.\n\
         1. tickpath venue --keys {} --listen {venue}\n\
         2. tickpath run --dir {dir}\n\
         3. the operator's page is at http://{}\n\
         Every key: tickpath config new; what is in force: tickpath config show --dir {dir} --origins\n",
        keys.display(),
        a.control
    ));
    Ok(ExitCode::SUCCESS)
}
