//! A whole network on this machine: look-ups for people to see and for scripts to check.
//!
//! One login server, superpeers and children, each a process of its own with its own data folder on
//! loopback; `limits = lab`, r = 2, so that some look-ups cross the overlay. Everything is waited for
//! through the local APIs. Ends with its processes gone, whatever ends it.

mod bulk;
mod fleet;
mod names;
mod process;

use std::fs;
use std::path::{Path, PathBuf};

use callbook_overlay::name::Username;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::cli::args::DemoFlags;
use crate::cli::client::{Request, segment};
use crate::cli::output::{Printer, note, shell_word};
use crate::cli::text;
use crate::exit::{Code, INTERRUPTED};
use crate::problem::{Outcome, Problem, file_problem};
use crate::view::{Answered, Credentials, Demo, DemoLookup, Enrolled, Lookup, Password};
use fleet::Node;
use process::Processes;

/// Who is enrolled when there is no list.
const PEOPLE: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];

/// How many more people are enrolled while no look-up had to cross the overlay. A guess: with r = 2 of four
/// superpeers, each leaves about every second look-up from a child with another parent no way around it.
const NEWCOMERS_MAX: usize = 8;

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
        let mut processes = Processes::new(&place.path)?;
        let outcome = watched(&mut processes, &place.path, flags, list, printer).await;
        processes.leave().await;
        outcome
    })
}

async fn watched(
    processes: &mut Processes,
    folder: &Path,
    flags: &DemoFlags,
    list: Option<Vec<Username>>,
    printer: Printer,
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
    let children = match started {
        Ok(children) => children,
        // What went wrong is told best by the process that went wrong.
        Err(problem) => return Err(processes.ended_already().unwrap_or(problem)),
    };
    let secret = secret()?;
    let demo = tokio::select! {
        demo = demonstrate(&children, flags, list, &secret) => demo?,
        problem = processes.ended() => return Err(problem),
        () = &mut stopped => return Ok(INTERRUPTED),
    };
    let demo = Demo { folder: folder.display().to_string(), ..demo };
    printer.result(&demo, demo_text);
    if flags.once {
        return verdict(&demo, printer);
    }
    if !printer.json {
        note(&invitation(&children, &demo, &secret));
    }
    tokio::select! {
        problem = processes.ended() => Err(problem),
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
    children: &[Node],
    flags: &DemoFlags,
    list: Option<Vec<Username>>,
    secret: &str,
) -> Outcome<Demo> {
    let mut demo = Demo {
        superpeers: flags.superpeers.into(),
        children: children.len(),
        folder: String::new(),
        enrolled: 0,
        lookups: Vec::new(),
        wrong: 0,
        crossed: 0,
        bulk: None,
    };
    match list {
        Some(names) => {
            if !bulk::shows_progress() {
                note(&format!("enrolling, registering and resolving {} names …", names.len()));
            }
            let (figures, wrong) = bulk::run(children, &names, secret).await?;
            demo.enrolled = names.len();
            demo.lookups = wrong;
            demo.crossed = figures.sources.get(OVERLAY).copied().unwrap_or_default();
            demo.bulk = Some(figures);
        }
        None => {
            note("enrolling one person on each child, and looking everyone up from everywhere else …");
            let people = people(children.len() + NEWCOMERS_MAX);
            let (first, newcomers) = people.split_at(children.len());
            let first: Vec<_> = children.iter().zip(first).collect();
            look_up_all(children, &first, secret, &mut demo).await?;
            // The parents may happen to hold every record. If they differ, somebody new lies elsewhere soon.
            for newcomer in children.iter().cycle().zip(newcomers) {
                if demo.crossed > 0 || share_a_parent(children) {
                    break;
                }
                look_up_all(children, &[newcomer], secret, &mut demo).await?;
            }
        }
    }
    demo.wrong = demo.lookups.iter().filter(|lookup| !lookup.right).count();
    Ok(demo)
}

/// Enrols people, each on a child, and looks each up from every other one.
async fn look_up_all(
    children: &[Node],
    people: &[(&Node, &String)],
    secret: &str,
    demo: &mut Demo,
) -> Outcome<()> {
    for (home, name) in people {
        enrol(home, name, secret).await?;
        demo.enrolled += 1;
    }
    for (home, name) in people {
        for from in children.iter().filter(|from| from.name != home.name) {
            let request = Request::get(format!("/v1/names/{}", segment(name)));
            let answer = from.client.call::<Lookup>(request).await?.content;
            demo.crossed += usize::from(answer.source.as_deref() == Some(OVERLAY));
            demo.lookups.push(judge(home, from, answer));
        }
    }
    Ok(())
}

fn share_a_parent(children: &[Node]) -> bool {
    children.windows(2).all(|pair| matches!(pair, [one, other] if one.parent == other.parent))
}

async fn enrol(node: &Node, name: &str, secret: &str) -> Outcome<()> {
    let (name, password) = (name.to_owned(), Password(password(secret)));
    let display = Some(format!("{name} on {}", node.name));
    let credentials = Credentials { name, password, display, register: true };
    node.client.call::<Enrolled>(Request::post("/v1/enrol", &credentials)?).await.map(|_| ())
}

/// Whether an answer names the daemon that registered, and where it listens.
fn judge(home: &Node, from: &Node, answer: Lookup) -> DemoLookup {
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

fn demo_text(demo: &Demo) -> String {
    let table = if demo.lookups.is_empty() { String::new() } else { text::demo(&demo.lookups) };
    let errors: Vec<String> = demo
        .lookups
        .iter()
        .filter_map(|lookup| {
            Some(format!("wrong: {} from {}: {}", lookup.name, lookup.from, lookup.error.as_ref()?))
        })
        .collect();
    let total = demo.bulk.as_ref().map_or(demo.lookups.len(), |bulk| bulk.names);
    let crossed = match demo.crossed {
        0 => "none had to cross the overlay, for the children's parents knew every answer".to_owned(),
        count => format!("{count} crossed the overlay"),
    };
    let verdict = format!("{} of {total} look-ups were right; {crossed}", total - demo.wrong.min(total));
    let figures = demo.bulk.as_ref().map(bulk::text).unwrap_or_default();
    let parts = [table, figures, errors.join("\n"), verdict];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn invitation(children: &[Node], demo: &Demo, secret: &str) -> String {
    let (Some(first), Some(last)) = (children.first(), children.last()) else { return String::new() };
    let name = demo.lookups.first().map_or("alice", |lookup| lookup.name.as_str());
    let name = if demo.bulk.is_some() { "NAME" } else { name };
    format!(
        "\nThe network runs until Ctrl-C. In another terminal:\n  \
         callbook --data {} lookup {name}\n  callbook --data {} status\n\
         Everybody's password is {secret}",
        shell_word(&last.folder),
        shell_word(&first.folder)
    )
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
        let people = people(12);
        let distinct: std::collections::BTreeSet<_> =
            people.iter().map(|name| Username::parse(name).unwrap()).collect();
        assert_eq!(distinct.len(), 12);
    }
}
