//! Typed entries as people write them: like a line of a DNS zone without the name.
//!
//! `[SERVICE] A|AAAA|SRV|TXT VALUE…`, the form that the core prints. *Not here*: their bounds (core).

use callbook_overlay::record::{Entry, EntryKind};

use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// Reads an entry.
///
/// # Errors
/// The user: not of that form.
pub(crate) fn parse(text: &str) -> Outcome<Entry> {
    let wrong = |why: &str| {
        Problem::new(Code::EntryInvalid, format!("the entry \"{text}\" is not valid: {why}")).hint(
            "write \"A 192.0.2.1\", \"AAAA 2001:db8::1\", \"_sip._udp SRV 10 5 5060 host.example\" or \"TXT some text\"",
        )
    };
    let (first, rest) = split(text);
    let (service, kind, value) = match first.starts_with('_') {
        true => {
            let (kind, value) = split(rest);
            (Some(first.to_owned()), kind, value)
        }
        false => (None, first, rest),
    };
    let kind = match kind.to_ascii_uppercase().as_str() {
        "A" => EntryKind::A(value.parse().map_err(|_| wrong("that is no IPv4 address"))?),
        "AAAA" => EntryKind::Aaaa(value.parse().map_err(|_| wrong("that is no IPv6 address"))?),
        "SRV" => service_of(value).ok_or_else(|| wrong("SRV wants priority, weight, port and host"))?,
        "TXT" => EntryKind::Txt(unquoted(value)),
        _ => return Err(wrong("the type is A, AAAA, SRV or TXT")),
    };
    Ok(Entry { service, kind })
}

/// The first word and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(first, rest)| (first, rest.trim_start()))
}

fn service_of(value: &str) -> Option<EntryKind> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let [priority, weight, port, target] = words.as_slice() else { return None };
    let number = |word: &str| word.parse().ok();
    let target = (*target).to_owned();
    Some(EntryKind::Srv { priority: number(priority)?, weight: number(weight)?, port: number(port)?, target })
}

/// Quotes around the whole text, as the core prints it, are not part of it.
fn unquoted(value: &str) -> String {
    let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
    if !quoted {
        return value.to_owned();
    }
    serde_json::from_str(value).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_again() {
        // Goal: one form for both ways. Method: print and read one entry of each type.
        for text in
            ["A 192.0.2.1", "_sip._udp SRV 10 5 5060 host.example", "TXT \"a \\\"b\\\"\"", "AAAA 2001:db8::1"]
        {
            let entry = parse(text).unwrap();
            assert_eq!(entry.to_string(), text);
            assert_eq!(parse(&entry.to_string()).unwrap(), entry);
        }
    }

    #[test]
    fn what_is_no_entry_is_refused_with_an_example() {
        // Goal: the user learns the form. Method: one mistake of each sort.
        for text in ["", "A", "A ::1", "AAAA 192.0.2.1", "SRV 1 2 host", "MX 10 host", "_x._tcp"] {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.code, Code::EntryInvalid, "{text}");
            assert!(problem.hint.unwrap().contains("A 192.0.2.1"));
        }
    }
}
