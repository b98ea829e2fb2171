//! "Did you mean …": the known word nearest to an unknown one.
//!
//! Decides by edit distance: at most two edits, and fewer than the word has letters.

/// The word of `known` that `word` was probably meant to be.
///
/// # Shape
/// `None` when nothing is near; the first of equally near ones.
#[must_use]
pub fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    known
        .iter()
        .map(|candidate| (edits(&word, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= EDITS_MAX && *edits < candidate.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Edits beyond which two words are taken to be different ones. (guess)
const EDITS_MAX: usize = 2;

/// The Levenshtein distance, one row at a time.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_within_two_edits_is_suggested() {
        // Goal: typing errors find their word, strangers do not. Method: examples.
        let known = ["version", "scope", "roots", "r"];
        assert_eq!(closest("verison", &known), Some("version"));
        assert_eq!(closest("Scop", &known), Some("scope"));
        assert_eq!(closest("bananas", &known), None);
        assert_eq!(closest("x", &known), None, "replacing a whole word is no suggestion");
    }
}
