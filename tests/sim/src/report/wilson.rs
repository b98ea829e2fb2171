//! The Wilson score interval of a share.
//!
//! Source: Wilson (1927), eq. for the score interval; z = 1.96 for 95 %.

/// The 0.975 quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Between which bounds the true share lies, by 95 %, when `of` among `all` were found.
#[must_use]
pub fn interval(of: u64, all: u64) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (all as f64, of as f64 / all as f64);
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::interval;

    #[test]
    fn the_interval_is_the_published_one() {
        // Goal: the formula. Method: examples of Newcombe (1998), table I: 81/263, 15/148, 0/20, 1/29.
        let known = [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ];
        for (of, all, low, high) in known {
            let found = interval(of, all);
            assert!((found.0 - low).abs() < 1e-4 && (found.1 - high).abs() < 1e-4, "{of}/{all}: {found:?}");
        }
        assert_eq!(interval(0, 0), (0.0, 1.0));
        assert!(interval(5, 5).1 >= 1.0 - 1e-12);
    }
}
