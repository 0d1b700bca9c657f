//! The Mann-Whitney U test, which tells whether two groups of runs differ: exact, two-sided, also with equal values.
//!
//! The p value is the share of all divisions of the values into two groups of these sizes that lie at least as far
//! apart. The test assumes no distribution, because that of latencies is unknown.

/// The probability that two groups lie at least this far apart by chance; `None` if one of them is empty.
pub(super) fn p_value(one: &[f64], other: &[f64]) -> Option<f64> {
    let (one, other) = (first(one), first(other));
    if one.is_empty() || other.is_empty() {
        return None;
    }
    let ranks = doubled_ranks(&[one, other].concat());
    let reached: usize = ranks.iter().take(one.len()).sum();
    let ways = ways_to_sum(&ranks, one.len());
    let all: f64 = ways.iter().sum();
    let below: f64 = ways.iter().take(reached + 1).sum();
    let above: f64 = ways.iter().skip(reached).sum();
    Some((2.0 * below.min(above) / all).min(1.0))
}

/// The smallest p value of groups of these sizes: that of groups without overlap.
pub(super) fn least_p_value(one: usize, other: usize) -> f64 {
    let (one, other) = (one.min(GROUP_MAX), other.min(GROUP_MAX));
    // One of `ways` choices of the first group, and its mirror image.
    let ways = (1..=one).fold(1.0, |ways, n| ways * (other + n) as f64 / n as f64);
    (2.0 / ways).min(1.0)
}

fn first(group: &[f64]) -> &[f64] {
    group.get(..GROUP_MAX).unwrap_or(group)
}

/// Twice the rank of each value. Equal values share the mean of their ranks, of which the double is a whole number.
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| other.total_cmp(value).is_lt()).count();
        let equal = values.iter().filter(|other| other.total_cmp(value).is_eq()).count();
        2 * below + equal + 1
    };
    values.iter().map(rank).collect()
}

/// For each sum, the number of ways in which `chosen` of the ranks add up to it.
fn ways_to_sum(ranks: &[usize], chosen: usize) -> Vec<f64> {
    let most: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; chosen + 1];
    if let Some(nothing) = ways.first_mut().and_then(|sums| sums.first_mut()) {
        *nothing = 1.0;
    }
    for &rank in ranks {
        // From the largest group down, so that no rank is chosen twice.
        for count in (1..=chosen).rev() {
            let (fewer, more) = ways.split_at_mut(count);
            let (Some(fewer), Some(more)) = (fewer.last(), more.first_mut()) else { continue };
            for (to, from) in more.iter_mut().skip(rank).zip(fewer) {
                *to += from;
            }
        }
    }
    ways.pop().unwrap_or_default()
}

/// The largest number of values per group. The cost grows with its fourth power.
pub(super) const GROUP_MAX: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn p(one: &[f64], other: &[f64]) -> f64 {
        p_value(one, other).expect("two groups")
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn known_answers() {
        // As R's wilcox.test(x, y, exact = TRUE) gives them.
        assert_near(p(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.1);
        assert_near(p(&[1.0, 3.0, 5.0, 7.0], &[2.0, 4.0, 6.0, 8.0]), 48.0 / 70.0);
        assert_near(p(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 2.0 / 252.0);
        assert_near(p(&[10.0], &[1.0, 2.0, 3.0]), 0.5);
        // Counted by hand: of 20 choices of three, two have so small a sum.
        assert_near(p(&[1.0, 1.0, 2.0], &[2.0, 3.0, 3.0]), 0.2);
    }

    #[test]
    fn equal_groups_are_no_different_and_sides_do_not_matter() {
        assert_near(p(&[5.0; 6], &[5.0; 6]), 1.0);
        let (one, other) = ([1.0, 4.0, 2.5, 9.0], [3.0, 8.0, 7.0, 11.0, 12.0]);
        assert_near(p(&one, &other), p(&other, &one));
        assert_eq!(p_value(&[], &[1.0]), None);
    }

    #[test]
    fn the_least_value_is_that_of_groups_apart() {
        for (one, other) in [(1, 1), (3, 3), (5, 5), (4, 6), (1, 9)] {
            let low: Vec<f64> = (0..one).map(|n| n as f64).collect();
            let high: Vec<f64> = (0..other).map(|n| 100.0 + n as f64).collect();
            assert_near(least_p_value(one, other), p(&low, &high));
        }
    }

    #[test]
    fn noise_is_called_a_difference_as_seldom_as_it_should_be() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut group = || (0..6).map(|_| random.f64()).collect::<Vec<f64>>();
        let found = (0..2000).filter(|_| p(&group(), &group()) < 0.05).count();
        // Five in a hundred at most: 100, and three standard deviations of 10.
        assert!(found <= 130, "{found} of 2000");
    }

    #[test]
    fn many_runs_are_cut_to_what_can_be_counted() {
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_near(p(&many, &many), 1.0);
    }
}
