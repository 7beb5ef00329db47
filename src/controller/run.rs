//! `jctld run`: from settings to a serving daemon, and its stop in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::backup::Sources;
use super::config::{Config, ConfigError};
use super::driver::{self, Driver, Gauges, Message, Outside, Parts, WelcomeFacts};
use super::fence::Fence;
use super::kept::Keeper;
use super::mirror::{Mirror, Mirrored};
use super::office::{ContentCache, Office};
use super::planner::Planner;
use super::published::Published;
use super::quota::Quotas;
use super::recovery::{RecoveryError, recover};
use super::renew::OwnError;
use super::strangers::Strangers;
use super::tables_writer::{ExportRule, TablesWriter};
use super::windows::Windows;
use super::{clock, renew, server};
use crate::core::presence::beat_interval;
use crate::core::{Command, Core, Settings};
use crate::model::identity::Serial;
use crate::model::ids::{NodeId, Position};
use crate::net::close::CloseCode;
use crate::net::endpoint::{self, ListenError};
use crate::pki::authority::{Authority, AuthorityError};
use crate::pki::certificate::to_pem;
use crate::sched::Scheduler;
use crate::store::disk::real::free_bytes;
use crate::store::export::Exports;
use crate::store::journal::Journal;
use crate::store::tables::Tables;

/// How long connected peers are given to learn that the daemon stops.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// With less room than this whatever fails fails for want of it, in bytes.
const FULL_BYTES: u64 = 1 << 20;

/// Why the daemon did not start.
#[derive(Debug, Error)]
pub enum RunError {
    /// Settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The CA.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The daemon's own certificate.
    #[error(transparent)]
    Own(#[from] OwnError),
    /// The second place.
    #[error("{0}")]
    Mirror(String),
    /// The socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The operating system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// What the driver tells the daemon.
struct Bell {
    stop: Arc<Notify>,
    office: Arc<Mutex<Option<Arc<Office>>>>,
    fence: Fence,
}

impl Outside for Bell {
    fn cut_off(&self, serial: Serial) {
        let office = super::office::lock(&self.office).clone();
        if let Some(office) = office {
            office.quotas.cut_off(serial);
        }
    }

    fn fence(&self, node: NodeId, name: String) {
        self.fence.ask(node, name);
    }

    fn stop(&self) {
        self.stop.notify_one();
    }

    fn fatal(&self, why: &str) -> ! {
        tracing::error!(why, "nothing may be told any more; the daemon ends");
        eprintln!("jctld: {why}");
        std::process::exit(70);
    }
}

/// Whether what is said to have failed has failed for want of room: ENOSPC and EDQUOT, in the words of sled, which has no
/// others, or what the file system itself says.
fn is_full(folder: &Path, what: &str) -> bool {
    let said = what.contains("(os error 28)") || what.contains("(os error 122)");
    said || free_bytes(folder).is_ok_and(|free| free < FULL_BYTES)
}

/// By how much the log has grown since the newest export. If the log has lost its beginning and no export reaches it, the
/// tables alone have what is older: an export is overdue.
fn grown_since_export(exports: &Exports, journal: &Journal, start: Position) -> u64 {
    let newest = exports.newest().map(|newest| newest.position);
    if start > Position(1) && newest.is_none_or(|position| position.0 + 1 < start.0) {
        tracing::warn!(journal_begins = start.0, "no export reaches the journal; one is made now");
        return u64::MAX / 2;
    }
    journal.bytes_behind(newest.unwrap_or_default())
}

/// Serves until SIGTERM, SIGINT or `jctld stop`.
///
/// # Errors
/// Why it did not start.
pub fn run(settings: &Path) -> Result<(), RunError> {
    // The allocator asks for huge pages, and would have one of them for each few small things of each thread.
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::warn!(%error, "huge pages can't be turned off; more memory will be used");
    }
    let config = Config::load(settings)?;
    let authority = Authority::load(&config.ca)?;
    let (credentials, renewed) = renew::own(&config, &authority)?;
    let mut recovered = recover(&config.state)?;
    let mirror = Mirror::start(&config, settings, &mut recovered).map_err(RunError::Mirror)?;
    let (mirror, words) = mirror.map_or((None, String::new()), |(mirror, words)| (Some(mirror), words));
    recovered.words.push_str(&words);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _inside = runtime.enter();
    let listener = endpoint::server(config.listen, &credentials)?;
    let warnings: Vec<String> = listener.warning().map(str::to_owned).into_iter().collect();
    for warning in &warnings {
        tracing::warn!(warning, "set-up");
    }
    let core_settings = core_settings(&config, &authority);
    let opened = recovered.opened;
    let welcome = WelcomeFacts {
        incarnation: opened.incarnation,
        epoch: opened.epoch,
        cluster: recovered.file.name.clone(),
        beat: beat_interval(config.node_timeout.0),
        lease: config.lease.0,
    };
    let mut core = Core::new(recovered.cluster, core_settings.clone(), opened.end);
    core.expect_nodes(clock::now());
    let published = Arc::new(Published::new(core.view(opened.end, clock::wall()), recovered.recent));
    let gauges = Arc::new(Gauges::default());
    let (driver, receiver) = driver::channel_pair();
    let reader = recovered.tables.reader();
    let (bell, folder, halted) = (driver.clone(), config.state.clone(), gauges.clone());
    recovered.tables.inner().when_broken(move |what| {
        if is_full(&folder, what) {
            if !halted.tables_halted.swap(true, Ordering::Relaxed) {
                tracing::error!(what, "the tables stand still until there is room; nothing new is taken");
            }
            return halted.reserve.store(true, Ordering::Relaxed);
        }
        let why = format!("the tables are broken ({what}); they are built anew at the next start");
        bell.send(Message::Fatal(why));
    });
    let planner = Planner::start(Scheduler::new(), driver.clone())?;
    let explainer = planner.explainer();
    gauges.log_grown.store(
        grown_since_export(recovered.tables.exports(), &recovered.journal, opened.start),
        Ordering::Relaxed,
    );
    let content = Arc::new(recovered.content);
    let rule = ExportRule {
        bytes: config.export_bytes,
        epoch: opened.epoch,
        gauges: gauges.clone(),
        folder: config.state.clone(),
        mirror: mirror.clone(),
    };
    if let Some(before) = recovered.tables.exports().trimmable() {
        // The last one may have died between its export and this.
        driver.send(Message::Trim(before));
    }
    let tables = TablesWriter::start(recovered.tables, content.clone(), rule, driver.clone())?;
    let fence = Fence {
        command: config.fence.clone(),
        pause: config.node_timeout.0,
        driver: driver.clone(),
        runtime: runtime.handle().clone(),
    };
    let bell = Bell { stop: Arc::new(Notify::new()), office: Arc::default(), fence };
    let (stop, slot) = (bell.stop.clone(), bell.office.clone());
    let parts = Parts {
        core,
        end: opened.end,
        log: Mirrored::new(recovered.journal, mirror.clone()),
        published: published.clone(),
        gauges: gauges.clone(),
        welcome,
    };
    let thread = driver::start(parts, &driver, receiver, tables, planner, bell)?;
    let office = Arc::new(Office {
        driver: driver.clone(),
        published,
        tables: reader,
        content,
        mirror,
        kept: Keeper::start(recovered.output, driver.clone())?,
        windows: Windows::default(),
        unanswered: Mutex::default(),
        data_links_changed: tokio::sync::watch::channel(()).0,
        disk: recovered.disk,
        explainer,
        settings: core_settings,
        authority,
        authorities: credentials.authorities().iter().map(|authority| to_pem(authority)).collect(),
        config: config.clone(),
        gauges,
        incarnation: opened.incarnation,
        epoch: opened.epoch,
        started: clock::wall(),
        recovery: recovered.words.clone(),
        warnings,
        state_folder: config.state.clone(),
        sources: Sources {
            settings: settings.to_owned(),
            ca: config.ca.clone(),
            credentials: config.credentials.clone(),
        },
        quotas: Arc::new(Quotas::default()),
        strangers: Strangers::default(),
        data_links: Mutex::new(BTreeMap::new()),
        cache: Mutex::new(ContentCache::default()),
    });
    *super::office::lock(&slot) = Some(office.clone());
    runtime.block_on(async {
        take_office(&driver, opened.incarnation, opened.epoch).await;
        if let Some(record) = renewed {
            let _ = driver.ask(Command::Issued(record), None).await;
        }
        let address = listener.local_address()?;
        tracing::info!(%address, epoch = opened.epoch.0, position = opened.end.0, recovery = recovered.words, "serving");
        if office.published.view().cluster.nodes.is_empty() {
            tracing::info!(next = "in another shell: jnode add n[1-2]", "there is no node yet");
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            () = server::serve(&listener, &office) => {}
            () = renew::upkeep(&listener, &office) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.notified() => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        tracing::info!("stopping; jobs go on");
        driver.send(Message::Stop);
        listener.close(CloseCode::Stopping, "the controller is stopping");
        listener.closed(CLOSE_PATIENCE).await;
        Ok::<(), RunError>(())
    })?;
    let joined = tokio::task::block_in_place(|| thread.join());
    if joined.is_err() {
        tracing::error!("the core's thread panicked");
        std::process::exit(70);
    }
    Ok(())
}

async fn take_office(
    driver: &Driver,
    incarnation: crate::model::ids::Incarnation,
    epoch: crate::model::ids::Epoch,
) {
    let _ = driver.ask(Command::Office { incarnation, epoch }, None).await;
}

fn core_settings(config: &Config, authority: &Authority) -> Settings {
    Settings {
        cluster: authority.cluster().to_owned(),
        node_timeout: config.node_timeout.0,
        lease: config.lease.0,
        kill_grace: config.kill_grace.0,
        jobs_per_user_max: config.jobs_per_user_max,
        allow_root: config.allow_root,
        submit_from_jobs: config.submit_from_jobs,
        addresses: config.advertise.clone(),
        fingerprint: authority.fingerprint().0,
    }
}
