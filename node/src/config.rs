//! Settings: flags win over environment over file over default.
//!
//! Every setting is a text with an origin until all layers lie on each other; then it is read once,
//! so a bad value is reported with the place that it came from. The file is TOML and never written
//! by the program; a key that it doesn't know is an error, with the nearest one as a suggestion.
//!
//! *Not here*: the flags' names and help (`cli::args`).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use callbook_login::files;
use callbook_login::suggest::closest;
use callbook_overlay::api::Hellos;
use callbook_overlay::limits::CHILDREN_MAX;

use crate::exit::Code;
use crate::problem::{Outcome, Problem, file_problem};

/// The settings, in the order in which they are shown.
///
/// Each is a guess that serves a desktop; `metrics.listen` and `role` are DETAILS *Commands*, `children_max` and
/// `hello` DESIGN §4–5.
const DEFAULTS: [(&str, Option<&str>); 13] = [
    ("data", None),
    ("network", None),
    ("node_token", None),
    ("listen", None),
    ("role", Some("auto")),
    ("children_max", Some("512")),
    ("hello", Some("stretching")),
    ("log", None),
    ("api.listen", Some("127.0.0.1:0")),
    ("metrics.listen", Some("127.0.0.1:0")),
    ("metrics.announce", Some("false")),
    ("metrics.session_buckets", None),
    ("census.children", Some("true")),
];

/// Those that are on or off; in the file they need no quotes.
const SWITCHES: [&str; 2] = ["metrics.announce", "census.children"];

/// Most children that can be asked for. A guess: above it the connections would be refused, not the
/// children.
pub(crate) const CHILDREN_MOST: usize = 4_096;

/// Largest file that is read, in bytes. A guess: far above any that people write.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Which layer a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Env,
    /// The configuration file.
    File,
    /// The program.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Env => "env",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

/// One setting's value and origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layered {
    /// Its name, as in the file.
    pub(crate) key: &'static str,
    /// Its value; `None` when no layer has one.
    pub(crate) value: Option<String>,
    /// Where from.
    pub(crate) origin: Origin,
}

/// Which role was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleChoice {
    /// Superpeer with a token or a certificate, else child.
    Auto,
    /// Superpeer or nothing.
    Superpeer,
    /// Child, whatever certificate there is.
    Child,
}

/// All settings, read.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The layers, for `config show`.
    pub(crate) layers: Vec<Layered>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Whether the data folder was named at all (so that commands that we print must name it too).
    pub(crate) data_named: bool,
    /// The network file.
    pub(crate) network: Option<PathBuf>,
    /// The node token file.
    pub(crate) node_token: Option<PathBuf>,
    /// Where to listen.
    pub(crate) listen: Option<SocketAddr>,
    /// Which role.
    pub(crate) role: RoleChoice,
    /// Children that it takes as superpeer.
    pub(crate) children_max: usize,
    /// How often neighbours hear that it is there.
    pub(crate) hellos: Hellos,
    /// The log filter.
    pub(crate) log: Option<String>,
    /// Where the page is; `None`: nowhere.
    pub(crate) api_listen: Option<SocketAddr>,
    /// Where metrics are; `None`: off.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Whether the login server is told of them, for Prometheus.
    pub(crate) metrics_announce: bool,
    /// Up to which lengths sessions are counted.
    pub(crate) session_bounds: Vec<Duration>,
    /// Whether a superpeer tells who asks how many children it has.
    pub(crate) census_children: bool,
}

/// Lays flags and environment (`given`) over the file over the defaults.
///
/// # Errors
/// The user: an unreadable file (if it was named), unknown keys, values that make no sense.
pub(crate) fn load(given: &[Layered], file: Option<&Path>) -> Outcome<Config> {
    let folders = directories::ProjectDirs::from("", "", "callbook");
    let usual = folders.as_ref().map(|folders| folders.config_dir().join("config.toml"));
    let (path, text) = match file {
        Some(path) => (Some(path.to_owned()), Some(read(path)?)),
        None => match usual {
            Some(path) if path.exists() => (Some(path.clone()), Some(read(&path)?)),
            Some(_) | None => (None, None),
        },
    };
    let from_file = match (&path, text) {
        (Some(path), Some(text)) => parse(&text, path)?,
        (_, _) => Vec::new(),
    };
    let data = folders.map(|folders| folders.data_dir().display().to_string());
    let layers: Vec<Layered> = DEFAULTS
        .iter()
        .map(|&(key, default)| {
            let default = if key == "data" { data.clone() } else { default.map(str::to_owned) };
            let by = |layered: &&Layered| layered.key == key;
            given.iter().find(by).or_else(|| from_file.iter().find(by)).cloned().unwrap_or(Layered {
                key,
                value: default,
                origin: Origin::Default,
            })
        })
        .collect();
    typed(layers, path)
}

fn read(path: &Path) -> Outcome<String> {
    let text = files::read_bounded_text(path, FILE_BYTES_MAX);
    text.map(|text| text.to_string()).map_err(|error| {
        let problem = file_problem(Code::ConfigInvalid, "can't read the configuration", path, &error);
        if error.kind() == io::ErrorKind::NotFound {
            problem.hint("create it, or leave --config (CALLBOOK_CONFIG) out")
        } else {
            problem
        }
    })
}

/// The file's settings.
fn parse(text: &str, path: &Path) -> Outcome<Vec<Layered>> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Problem::new(Code::ConfigInvalid, format!("{} is not valid TOML: {error}", path.display()))
            .hint("mend the line that is shown; docs/cli.md lists the keys")
    })?;
    let mut settings = Vec::new();
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                flat.extend(inner.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_) => flat.push((key, value)),
        }
    }
    for (key, value) in flat {
        let known = DEFAULTS.iter().find(|(name, _)| *name == key).map(|(name, _)| *name);
        let Some(key) = known else { return Err(unknown(&key, path)) };
        // A number needs no quotes.
        let value = match value.as_integer().filter(|_| key == "children_max") {
            Some(number) => Some(number.to_string()),
            None if SWITCHES.contains(&key) && value.is_bool() => value.as_bool().map(|on| on.to_string()),
            None => value.as_str().map(str::to_owned),
        };
        let Some(value) = value else {
            let message = format!("{}: {key} must be a text, in quotes", path.display());
            return Err(Problem::new(Code::ConfigInvalid, message).hint(format!("write {key} = \"…\"")));
        };
        settings.push(Layered { key, value: Some(value), origin: Origin::File });
    }
    Ok(settings)
}

fn unknown(key: &str, path: &Path) -> Problem {
    let names = DEFAULTS.map(|(name, _)| name);
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    let nearest = closest(key, &names).or_else(|| {
        let word = closest(key.rsplit('.').next().unwrap_or(key), &names.map(last))?;
        names.into_iter().rev().find(|name| last(name) == word)
    });
    let hint = match nearest {
        Some(name) => format!("did you mean {name}?"),
        None => format!("the keys are {}", names.join(", ")),
    };
    Problem::new(Code::ConfigInvalid, format!("{}: unknown key {key}", path.display())).hint(hint)
}

fn typed(layers: Vec<Layered>, file: Option<PathBuf>) -> Outcome<Config> {
    let of = |key: &str| layers.iter().find(|layered| layered.key == key);
    let text = |key: &str| of(key).and_then(|layered| layered.value.clone()).filter(|text| !text.is_empty());
    let socket = |key: &str| -> Outcome<Option<SocketAddr>> {
        let Some(text) = text(key) else { return Ok(None) };
        let example = "write an address and a port, such as 127.0.0.1:4001 (port 0: any free one)";
        text.parse().map(Some).map_err(|_| bad_value(of(key), file.as_deref(), example))
    };
    let switch = |key: &str, default: bool| match text(key).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(bad_value(of(key), file.as_deref(), "it is true or false")),
    };
    let role = match text("role").as_deref() {
        None | Some("auto") => RoleChoice::Auto,
        Some("superpeer") => RoleChoice::Superpeer,
        Some("child") => RoleChoice::Child,
        Some(_) => return Err(bad_value(of("role"), file.as_deref(), "it is auto, superpeer or child")),
    };
    let hellos = match text("hello").as_deref() {
        None | Some("stretching") => Hellos::Stretching,
        Some("classic") => Hellos::Classic,
        Some(_) => return Err(bad_value(of("hello"), file.as_deref(), "it is stretching or classic")),
    };
    let children_max = match text("children_max").map(|text| text.parse()) {
        None => CHILDREN_MAX,
        Some(Ok(count)) if (1..=CHILDREN_MOST).contains(&count) => count,
        Some(_) => {
            let hint = format!("it is a number from 1 to {CHILDREN_MOST}");
            return Err(bad_value(of("children_max"), file.as_deref(), &hint));
        }
    };
    let api_listen = socket("api.listen")?;
    if api_listen.is_some_and(|address| !address.ip().is_loopback()) {
        let hint = "it is a loopback address, such as 127.0.0.1:8080: let ssh carry it elsewhere";
        return Err(bad_value(of("api.listen"), file.as_deref(), hint));
    }
    let Some(data) = text("data").map(PathBuf::from) else {
        return Err(Problem::new(Code::Usage, "no data folder: there is no home folder to put it in")
            .hint("name one with --data DIR (CALLBOOK_DATA)"));
    };
    Ok(Config {
        data,
        data_named: of("data").is_some_and(|layered| layered.origin != Origin::Default),
        network: text("network").map(PathBuf::from),
        node_token: text("node_token").map(PathBuf::from),
        listen: socket("listen")?,
        role,
        children_max,
        hellos,
        log: text("log"),
        api_listen,
        metrics_listen: socket("metrics.listen")?,
        metrics_announce: switch("metrics.announce", false)?,
        census_children: switch("census.children", true)?,
        session_bounds: match text("metrics.session_buckets") {
            None => callbook_host::session_bounds(),
            Some(text) => callbook_host::read_session_bounds(&text)
                .map_err(|hint| bad_value(of("metrics.session_buckets"), file.as_deref(), &hint))?,
        },
        file,
        layers,
    })
}

fn bad_value(layered: Option<&Layered>, file: Option<&Path>, hint: &str) -> Problem {
    let (key, value, origin) = match layered {
        Some(layered) => (layered.key, layered.value.clone().unwrap_or_default(), layered.origin),
        None => ("a setting", String::new(), Origin::Default),
    };
    let (code, place) = match (origin, file) {
        (Origin::File, Some(file)) => (Code::ConfigInvalid, file.display().to_string()),
        (Origin::Env, _) => (Code::Usage, "the environment".to_owned()),
        (Origin::Flag | Origin::Default | Origin::File, _) => (Code::Usage, "the command line".to_owned()),
    };
    Problem::new(code, format!("{key} can't be \"{value}\" (from {place})")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one_as_a_suggestion() {
        // Goal: a misspelt key never passes in silence. Method: three of them, at both levels.
        for (text, nearest) in [
            ("netwrok = \"x\"", "did you mean network?"),
            ("[metrics]\nlistn = \"x\"", "did you mean metrics.listen?"),
            (
                "colour = \"x\"",
                "the keys are data, network, node_token, listen, role, children_max, hello, log, api.listen, metrics.listen, metrics.announce, metrics.session_buckets, census.children",
            ),
        ] {
            let problem = parse(text, Path::new("config.toml")).unwrap_err();
            assert_eq!(
                (problem.code, problem.hint.as_deref().unwrap()),
                (Code::ConfigInvalid, nearest),
                "{text}"
            );
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        // Goal: the order of the layers. Method: one key in each of them.
        let (_folder, path) =
            written("role = \"child\"\nlisten = \"127.0.0.1:1\"\n[metrics]\nlisten = \"\"\n");
        let flag = Layered { key: "listen", value: Some("127.0.0.1:2".into()), origin: Origin::Flag };
        let data = Layered { key: "data", value: Some("/x".into()), origin: Origin::Env };
        let config = load(&[flag, data], Some(&path)).unwrap();
        assert_eq!(config.listen, Some("127.0.0.1:2".parse().unwrap()));
        assert_eq!(config.role, RoleChoice::Child);
        assert_eq!(config.metrics_listen, None);
        let origins: Vec<_> = config.layers.iter().map(|l| format!("{}={}", l.key, l.origin)).collect();
        insta::assert_snapshot!(origins.join(" "), @"data=env network=default node_token=default listen=flag role=file children_max=default hello=default log=default api.listen=default metrics.listen=file metrics.announce=default metrics.session_buckets=default census.children=default");
    }

    #[test]
    fn a_bad_value_names_the_place_that_it_comes_from() {
        // Goal: the user finds the line. Method: the same bad value from file and flag.
        let (_folder, path) = written("listen = \"localhost\"");
        let problem = load(&[], Some(&path)).unwrap_err();
        assert!(problem.message.contains("config.toml"), "{problem}");
        let flag = Layered { key: "role", value: Some("king".into()), origin: Origin::Flag };
        let problem = load(&[flag], None).unwrap_err();
        assert_eq!(problem.message, "role can't be \"king\" (from the command line)");
    }

    #[test]
    fn hellos_stretch_unless_they_are_to_be_classic() {
        // Goal: both words are read, others refused. Method: each.
        for (text, hellos) in [
            ("", Hellos::Stretching),
            ("hello = \"stretching\"", Hellos::Stretching),
            ("hello = \"classic\"", Hellos::Classic),
        ] {
            let (_folder, path) = written(text);
            assert_eq!(load(&[], Some(&path)).unwrap().hellos, hellos, "{text}");
        }
        let (_folder, path) = written("hello = \"never\"");
        assert!(load(&[], Some(&path)).is_err());
    }

    #[test]
    fn the_number_of_children_is_a_number_with_or_without_quotes() {
        // Goal: both forms are read, others refused; the default shown is the default taken. Method: each.
        for (text, count) in [("children_max = 7", 7), ("children_max = \"8\"", 8), ("", CHILDREN_MAX)] {
            let (_folder, path) = written(text);
            assert_eq!(load(&[], Some(&path)).unwrap().children_max, count, "{text}");
        }
        let shown = DEFAULTS.iter().find(|(key, _)| *key == "children_max").and_then(|(_, value)| *value);
        assert_eq!(shown, Some(CHILDREN_MAX.to_string().as_str()));
        for text in
            ["children_max = 0", "children_max = -1", "children_max = \"many\"", "children_max = 9999"]
        {
            let (_folder, path) = written(text);
            let problem = load(&[], Some(&path)).unwrap_err();
            assert_eq!(problem.hint.unwrap(), "it is a number from 1 to 4096", "{text}");
        }
        let (_folder, path) = written("listen = 4001");
        assert!(load(&[], Some(&path)).is_err(), "an address is a text");
    }

    #[test]
    fn switches_are_true_or_false_with_or_without_quotes() {
        // Goal: children are counted unless it is forbidden; metrics are announced only if it is asked for. Method:
        // both forms of both words, and another one.
        for (text, announced, counted) in [
            ("", false, true),
            ("[census]\nchildren = false\n[metrics]\nannounce = true", true, false),
            ("[census]\nchildren = \"false\"\n[metrics]\nannounce = \"false\"", false, false),
        ] {
            let (_folder, path) = written(text);
            let config = load(&[], Some(&path)).unwrap();
            assert_eq!((config.metrics_announce, config.census_children), (announced, counted), "{text}");
        }
        let (_folder, path) = written("[census]\nchildren = \"maybe\"");
        assert_eq!(load(&[], Some(&path)).unwrap_err().hint.unwrap(), "it is true or false");
    }

    #[test]
    fn text_that_is_not_toml_is_shown_with_its_line() {
        // Goal: a broken file is a message, not a panic. Method: an unclosed string.
        let problem = parse("\nrole = \"chi", Path::new("config.toml")).unwrap_err();
        assert!(problem.message.contains("line 2"), "{problem}");
    }
}
