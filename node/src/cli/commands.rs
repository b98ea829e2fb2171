//! The commands that ask the daemon something, one function each.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};

use crate::cli::args::{AccountFlags, Condition, LookupFlags, RegisterFlags};
use crate::cli::client::{Client, LOOK_AGAIN, Request, segment};
use crate::cli::output::{Printer, note};
use crate::cli::text;
use crate::config::Config;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};
use crate::view::{
    Change, Credentials, Enrolled, LoggedOut, Lookup, Lookups, Page, Password, Peers, Publish, Registered,
    Seen, Setting, Settings, Status, Stopped, Waited,
};

/// Names that are looked up at once. A guess: the daemon takes more, and a detached one lets each wait.
const LOOKUPS: usize = 64;

/// How long `down` waits for the daemon to be gone. A guess: leaving takes under a second.
const DOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// `status`.
pub(super) async fn status(client: Client, printer: Printer) -> Outcome<u8> {
    let status = client.call::<Status>(Request::get("/v1/status")).await?;
    printer.result(&status.content, text::status);
    Ok(0)
}

/// `peers`.
pub(super) async fn peers(client: Client, printer: Printer) -> Outcome<u8> {
    let peers = client.call::<Peers>(Request::get("/v1/peers")).await?;
    printer.result(&peers.content, text::peers);
    Ok(0)
}

/// `ui`.
pub(super) async fn ui(client: Client, printer: Printer) -> Outcome<u8> {
    let page = client.call::<Page>(Request::get("/v1/ui")).await?;
    printer.result(&page.content, |page| format!("{}\n", page.url));
    Ok(0)
}

/// `enrol` and `login`: the same request to another path.
pub(super) async fn account(
    client: Client,
    path: &str,
    flags: AccountFlags,
    password: Password,
    printer: Printer,
) -> Outcome<u8> {
    let AccountFlags { name, display, no_register, .. } = flags;
    let credentials = Credentials { name, password, display, register: !no_register };
    let enrolled = client.call::<Enrolled>(Request::post(path, &credentials)?).await?;
    printer.result(&enrolled.content, text::enrolled);
    Ok(0)
}

/// `logout`.
pub(super) async fn logout(
    client: Client,
    name: Option<String>,
    local: bool,
    printer: Printer,
) -> Outcome<u8> {
    let name = held(&client, name).await?;
    let path = format!("/v1/names/{}?local={local}", segment(&name));
    let gone = client.call::<LoggedOut>(Request::delete(path)).await?;
    printer.result(&gone.content, text::logged_out);
    Ok(0)
}

/// `register`.
pub(super) async fn register(client: Client, flags: RegisterFlags, printer: Printer) -> Outcome<u8> {
    let name = held(&client, flags.name).await?;
    let entries = match flags.entries.as_slice() {
        [] => None,
        [none] if none.is_empty() => Some(Vec::new()),
        entries => Some(entries.to_vec()),
    };
    let publish = Publish { display: flags.display, entries, ttl_secs: flags.ttl.map(|ttl| ttl.as_secs()) };
    let request = Request::put(format!("/v1/names/{}", segment(&name)), &publish)?;
    let registered = client.call::<Registered>(request).await?;
    printer.result(&registered.content, text::registered);
    Ok(0)
}

/// The name meant: the one given, or the only one held.
async fn held(client: &Client, name: Option<String>) -> Outcome<String> {
    if let Some(name) = name {
        return Ok(name);
    }
    let status = client.call::<Status>(Request::get("/v1/status")).await?;
    let mut names: Vec<_> = status.content.names.into_iter().map(|held| held.name).collect();
    match (names.pop(), names.len()) {
        (Some(name), 0) => Ok(name),
        (None, _) => Err(Problem::new(Code::LoginRequired, "this daemon holds no name")
            .hint("create an account: callbook enrol NAME; or use one: callbook login NAME")),
        (Some(_), others) => {
            Err(Problem::new(Code::NameAmbiguous, format!("this daemon holds {} names", others + 1))
                .hint("say which one is meant; callbook status lists them"))
        }
    }
}

/// `lookup`: all names at once, answers in their order; the highest exit code wins.
pub(super) async fn lookup(client: Client, flags: LookupFlags, printer: Printer) -> Outcome<u8> {
    let LookupFlags { names, fresh, cross_check, trace, no_presence } = flags;
    let asked = names.iter().map(|name| {
        let how = format!("fresh={fresh}&cross_check={cross_check}&trace={trace}&presence={}", !no_presence);
        let request = Request::get(format!("/v1/names/{}?{how}", segment(name)));
        let client = &client;
        async move { client.call::<Lookup>(request).await.map(|answer| answer.content) }
    });
    let names = stream::iter(asked).buffered(LOOKUPS).try_collect().await?;
    let answers = Lookups { names };
    printer.result(&answers, text::lookups);
    let problems = answers.names.iter().filter_map(|answer| answer.error.as_ref());
    if !printer.json {
        let partial = answers.names.iter().filter_map(|answer| answer.partial.as_ref());
        partial.for_each(|problem| note(&crate::cli::output::warning_text(problem)));
        problems.clone().for_each(|problem| note(&crate::cli::output::problem_text(problem)));
    }
    Ok(problems.map(|problem| problem.exit).max().unwrap_or(0))
}

/// `watch`: one line per event, until Ctrl-C or the daemon's end.
pub(super) async fn watch(client: Client, name: String, presence: Duration, printer: Printer) -> Outcome<u8> {
    let path = format!("/v1/watch/{}?presence_ms={}", segment(&name), presence.as_millis());
    let mut ended = None;
    client
        .lines::<Seen>(Request::get(path), |seen| {
            if let Change::Ended { error } = seen.change {
                ended = Some(error);
            } else {
                printer.result(&seen, text::seen);
            }
        })
        .await?;
    Err(ended.unwrap_or_else(|| client.gone("the daemon ended the watch")))
}

/// `wait`: also for the daemon itself, and across its restarts.
pub(super) async fn wait(
    client: Client,
    condition: Condition,
    timeout: Duration,
    printer: Printer,
) -> Outcome<u8> {
    let waited = client.until(condition, timeout).await?;
    let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    printer.result(&Waited { condition: condition.word().to_owned(), waited_ms }, text::waited);
    Ok(0)
}

/// `down`: until the daemon is gone, so that another one can take the folder at once.
pub(super) async fn down(client: Client, printer: Printer) -> Outcome<u8> {
    let answer = client.call::<Stopped>(Request::post("/v1/down", &serde_json::json!({}))?).await?;
    let (started, pid) = (Instant::now(), answer.content.pid);
    while client.is_locked() {
        if started.elapsed() > DOWN_TIMEOUT {
            let message = format!("the daemon (process {pid}) is still there");
            return Err(Problem::new(Code::Timeout, message).hint(format!("kill {pid}")));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    printer.result(&Stopped { stopped: true, pid }, text::stopped);
    Ok(0)
}

/// `config show`.
pub(super) fn config_show(config: &Config, origin: bool, printer: Printer) {
    let settings = config.layers.iter().map(|layered| Setting {
        key: layered.key.to_owned(),
        value: layered.value.clone(),
        origin: layered.origin.to_string(),
    });
    let file = config.file.as_ref().map(|path: &PathBuf| path.display().to_string());
    let settings = Settings { file, settings: settings.collect() };
    printer.result(&settings, |settings| text::settings(settings, origin));
}
