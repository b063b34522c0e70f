//! Medians and ratios of a few numbers.

/// The middle one; of an even number, the mean of the middle two. `None` of none. Not-a-number counts as largest.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Smallest and largest. `None` of none.
#[must_use]
pub fn range(values: &[f64]) -> Option<(f64, f64)> {
    let smallest = values.iter().copied().reduce(f64::min)?;
    let largest = values.iter().copied().reduce(f64::max)?;
    Some((smallest, largest))
}

/// How many times `theirs` goes into `ours`. With as many of each, they come from the same turns, and the median of each
/// turn's ratio is taken, so that a machine that slows down for a while slows both sides down; otherwise the ratio of
/// the medians. `None` where there is nothing to compare, or something to divide by zero.
#[must_use]
pub fn ratio(ours: &[f64], theirs: &[f64]) -> Option<f64> {
    let divide = |a: f64, b: f64| (b != 0.0).then(|| a / b);
    if ours.len() != theirs.len() {
        return divide(median(ours)?, median(theirs)?);
    }
    let ratios: Option<Vec<f64>> = ours.iter().zip(theirs).map(|(&a, &b)| divide(a, b)).collect();
    median(&ratios?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 100.0, 2.0]), Some(3.0));
        assert_eq!(range(&[4.0, 1.0, 100.0, 2.0]), Some((1.0, 100.0)));
        assert_eq!(range(&[]), None);
    }

    #[test]
    fn ratios_are_taken_turn_by_turn() {
        // Each turn says 2, though the medians, 10 and 6, say less.
        assert_eq!(ratio(&[2.0, 10.0, 16.0], &[1.0, 5.0, 8.0]), Some(2.0));
        assert_eq!(ratio(&[10.0, 20.0, 2.0], &[5.0, 20.0, 6.0]), Some(1.0), "of 2, 1 and 1/3");
        assert_eq!(ratio(&[3.0], &[1.0, 2.0]), Some(2.0), "not the same turns");
        assert_eq!(ratio(&[1.0], &[0.0]), None);
        assert_eq!(ratio(&[], &[]), None);
    }
}
