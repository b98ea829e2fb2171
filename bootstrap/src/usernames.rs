//! Which usernames may be given away: none that is reserved, none that looks like another.
//!
//! Two names look alike when their *skeletons* are equal: hyphens gone, `0` read as `o`, `1` and `i` as
//! `l`, `5` as `s`, then `rn` as `m` and `vv` as `w`. Digits stay distinct from each other, so numbered
//! names (`user-10`, `user-15`) don't collide. The reserved list is compared by skeleton too.
//!
//! Source: DESIGN §2; the list: RFC 2142's mailboxes and the names that shared hosts learnt to keep.
//! *Not here*: the syntax of a username (`callbook_overlay::name`).

use callbook_overlay::name::Username;

/// What is equal for names that look alike.
#[must_use]
pub fn skeleton(username: &Username) -> String {
    fold(username.as_str())
}

/// Whether nobody may have this name.
#[must_use]
pub fn is_reserved(username: &Username) -> bool {
    let skeleton = skeleton(username);
    RESERVED.iter().any(|reserved| fold(reserved) == skeleton)
}

fn fold(name: &str) -> String {
    let letters: String = name
        .chars()
        .filter(|letter| *letter != '-')
        .map(|letter| match letter {
            '0' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            other => other,
        })
        .collect();
    letters.replace("rn", "m").replace("vv", "w")
}

const RESERVED: [&str; 62] = [
    // RFC 2142.
    "abuse",
    "billing",
    "ftp",
    "hostmaster",
    "info",
    "list",
    "marketing",
    "news",
    "noc",
    "postmaster",
    "sales",
    "security",
    "support",
    "trouble",
    "usenet",
    "uucp",
    "webmaster",
    "www",
    // Roles and places that a person could be taken in by.
    "account",
    "accounts",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "api",
    "authority",
    "contact",
    "dns",
    "everyone",
    "example",
    "guest",
    "help",
    "invalid",
    "local",
    "localhost",
    "login",
    "logout",
    "mail",
    "mailer-daemon",
    "moderator",
    "network",
    "nobody",
    "null",
    "official",
    "operator",
    "owner",
    "password",
    "root",
    "service",
    "staff",
    "status",
    "sysadmin",
    "system",
    "test-admin",
    "undefined",
    "unknown",
    "user",
    "username",
    // Our own words.
    "bootstrap",
    "callbook",
    "callbook-bootstrap",
    "superpeer",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap()
    }

    #[test]
    fn names_that_look_alike_share_a_skeleton_and_numbered_names_do_not() {
        // Goal: no look-alike of a taken name, but plain series stay usable. Method: pairs.
        for (one, other) in [
            ("alice", "A1ice"),
            ("alice", "al-ice"),
            ("bob", "b0b"),
            ("modern", "modem"),
            ("vvalter", "walter"),
            ("basil", "ba5il"),
            ("r-nancy", "mancy"),
        ] {
            assert_eq!(skeleton(&name(one)), skeleton(&name(other)), "{one} and {other}");
        }
        let series: std::collections::BTreeSet<_> =
            (0..2000).map(|number| skeleton(&name(&format!("user-{number}")))).collect();
        assert_eq!(series.len(), 2000);
        assert_ne!(skeleton(&name("alice")), skeleton(&name("alicia")));
    }

    #[test]
    fn reserved_names_are_known_also_in_disguise() {
        // Goal: nobody becomes the administrator by a digit. Method: examples and the list itself.
        assert!(is_reserved(&name("admin")) && is_reserved(&name("Adm1n")) && is_reserved(&name("r00t")));
        assert!(is_reserved(&name("call-book")) && !is_reserved(&name("alice")));
        for reserved in RESERVED {
            assert!(is_reserved(&name(reserved)), "{reserved} is not a username at all");
        }
    }
}
