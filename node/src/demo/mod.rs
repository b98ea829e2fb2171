//! A whole network on this machine: look-ups for people to see and for scripts to check.
//!
//! One login server, superpeers and children, each a process of its own with its own data folder on
//! loopback; `limits = lab`, r = 3. Everybody is looked up from everywhere, then things happen to the
//! network and everybody is looked up again (`acts`). Everything is waited for through the local APIs.
//! Ends with its processes gone, whatever ends it.

mod acts;
mod bulk;
mod fleet;
mod names;
mod process;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use callbook_overlay::name::Username;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::cli::args::DemoFlags;
use crate::cli::client::Request;
use crate::cli::output::{Printer, note};
use crate::exit::{Code, INTERRUPTED};
use crate::problem::{Outcome, Problem, file_problem};
use crate::view::{Answered, Credentials, Demo, DemoLookup, Enrolled, Lookup, Password};
use fleet::{Fleet, Node};
use process::{Ends, Processes};

/// Who is enrolled when there is no list.
const PEOPLE: [&str; 12] =
    ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "ken", "lena"];

/// The source of an answer that crossed the overlay.
const OVERLAY: &str = "overlay";

/// Runs the demo; returns its exit code.
///
/// # Errors
/// The network doesn't come up, or a process of it ends by itself.
pub(crate) fn run(flags: &DemoFlags, folder: Option<PathBuf>, printer: Printer) -> Outcome<u8> {
    let list = flags.names.as_deref().map(names::read).transpose()?;
    let place = Place::make(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Problem::new(Code::Failed, format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let (mut processes, ends) = Processes::new(&place.path)?;
        let outcome = watched(&mut processes, ends, &place.path, flags, (list, printer)).await;
        processes.leave().await;
        outcome
    })
}

async fn watched(
    processes: &mut Processes,
    mut ends: Ends,
    folder: &Path,
    flags: &DemoFlags,
    (list, printer): (Option<Vec<Username>>, Printer),
) -> Outcome<u8> {
    let no_signal = |error| Problem::new(Code::Failed, format!("signals can't be heeded: {error}"));
    let mut terminated = signal(SignalKind::terminate()).map_err(no_signal)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(no_signal)?;
    let stopped = async move {
        tokio::select! { _ = terminated.recv() => {}, _ = interrupted.recv() => {} }
    };
    let mut stopped = std::pin::pin!(stopped);
    let started = tokio::select! {
        started = fleet::start(processes, folder, flags.superpeers, flags.children) => started,
        () = &mut stopped => return Ok(INTERRUPTED),
    };
    let fleet = match started {
        Ok(fleet) => fleet,
        // What went wrong is told best by the process that went wrong.
        Err(problem) => return Err(ends.already().unwrap_or(problem)),
    };
    let secret = secret()?;
    let demo = tokio::select! {
        demo = demonstrate(processes, &fleet, list, &secret, printer) => demo?,
        problem = ends.next() => return Err(problem),
        () = &mut stopped => return Ok(INTERRUPTED),
    };
    let demo = Demo { folder: folder.display().to_string(), ..demo };
    printer.result(&demo, text::end);
    if flags.once {
        return verdict(&demo, printer);
    }
    if !printer.json {
        note(&text::invitation(&fleet, &demo, &secret));
    }
    tokio::select! {
        problem = ends.next() => Err(problem),
        () = &mut stopped => Ok(0),
    }
}

fn verdict(demo: &Demo, printer: Printer) -> Outcome<u8> {
    if demo.wrong == 0 {
        return Ok(0);
    }
    if printer.json {
        // The one document is out already, and says what was wrong.
        return Ok(Code::DemoWrong.exit());
    }
    Err(Problem::new(Code::DemoWrong, format!("{} look-ups were wrong", demo.wrong))
        .hint("callbook demo --data DIR keeps all logs and data folders"))
}

async fn demonstrate(
    processes: &mut Processes,
    fleet: &Fleet,
    list: Option<Vec<Username>>,
    secret: &str,
    printer: Printer,
) -> Outcome<Demo> {
    let mut demo = Demo {
        superpeers: fleet.superpeers.len(),
        children: fleet.children.len(),
        folder: String::new(),
        enrolled: 0,
        acts: Vec::new(),
        lookups: Vec::new(),
        wrong: 0,
        crossed: 0,
        bulk: None,
    };
    if let Some(names) = list {
        if !bulk::shows_progress() {
            note(&format!("enrolling, registering and resolving {} names …", names.len()));
        }
        let (figures, wrong) = bulk::run(&fleet.children, &names, secret).await?;
        demo.enrolled = names.len();
        demo.lookups = wrong;
        demo.wrong = demo.lookups.len();
        demo.crossed = figures.sources.get(OVERLAY).copied().unwrap_or_default();
        demo.bulk = Some(figures);
        return Ok(demo);
    }
    note("enrolling one person on each child …");
    let people = people(fleet.children.len());
    for (home, name) in fleet.children.iter().zip(&people) {
        enrol(home, name, secret).await?;
    }
    demo.enrolled = people.len();
    let mut play = acts::Play { processes, fleet, people: &people, demo: &mut demo, printer };
    play.settled().await?;
    if fleet.superpeers.len() < acts::SUPERPEERS_MIN {
        note(&format!("with fewer than {} superpeers nobody is killed", acts::SUPERPEERS_MIN));
        return Ok(demo);
    }
    play.superpeer_killed().await?;
    play.server_stopped().await?;
    Ok(demo)
}

async fn enrol(node: &Node, name: &str, secret: &str) -> Outcome<()> {
    let (name, password) = (name.to_owned(), Password(password(secret)));
    let display = Some(format!("{name} on {}", node.name));
    let credentials = Credentials { name, password, display, register: true };
    node.client.call::<Enrolled>(Request::post("/v1/enrol", &credentials)?).await.map(|_| ())
}

/// Whether an answer names the daemon that registered, and where it listens.
fn judge(act: usize, home: &Node, from: &Node, answer: Lookup) -> DemoLookup {
    let right = match answer.devices.as_slice() {
        [device] => device.peer == home.peer && !device.addresses.is_empty(),
        _ => false,
    };
    let wrong = || {
        if answer.outcome == Answered::Found {
            format!("not (only) {}", home.name)
        } else {
            "not found".to_owned()
        }
    };
    let error = (!right).then(|| answer.error.as_ref().map_or_else(wrong, |problem| problem.message.clone()));
    DemoLookup {
        act,
        name: answer.name,
        from: from.name.clone(),
        found: answer.outcome == Answered::Found,
        right,
        addresses: answer.devices.into_iter().flat_map(|device| device.addresses).collect(),
        hops: answer.hops,
        source: answer.source,
        ms: answer.ms,
        error,
    }
}

fn people(count: usize) -> Vec<String> {
    let more = (PEOPLE.len() + 1..).map(|number| format!("person-{number}"));
    PEOPLE.into_iter().map(str::to_owned).chain(more).take(count).collect()
}

fn password(secret: &str) -> Zeroizing<String> {
    Zeroizing::new(secret.to_owned())
}

/// One random password for everybody.
fn secret() -> Outcome<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::new(Code::Failed, format!("the system gives no random bytes: {error}")))?;
    Ok(format!("demo-{:016x}", u64::from_be_bytes(bytes)))
}

/// The demo's folder: one of the user's, or a temporary one that goes when the demo ends.
struct Place {
    path: PathBuf,
    temporary: bool,
}

impl Place {
    fn make(folder: Option<PathBuf>) -> Outcome<Self> {
        let temporary = folder.is_none();
        let path = match folder {
            Some(path) => path,
            None => std::env::temp_dir().join(format!("callbook-{}-{}", secret()?, std::process::id())),
        };
        let unwritable =
            |error| file_problem(Code::FolderUnwritable, "can't make the demo's folder", &path, &error);
        callbook_login::files::create_private_folder(&path).map_err(unwritable)?;
        let used = fs::read_dir(&path).map_err(unwritable)?.next().is_some();
        if used {
            let message = format!("the folder {} is not empty", path.display());
            return Err(Problem::new(Code::Usage, message).hint("name a new one, or leave --data out"));
        }
        let path = path.canonicalize().map_err(unwritable)?;
        Ok(Self { path, temporary })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "the demo's folder is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_name_however_many_there_are() {
        // Goal: valid and distinct usernames. Method: more people than the list has.
        let people = people(32);
        let distinct: std::collections::BTreeSet<_> =
            people.iter().map(|name| Username::parse(name).unwrap()).collect();
        assert_eq!(distinct.len(), 32);
    }
}
