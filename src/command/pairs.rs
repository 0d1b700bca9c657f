//! [`ToPairs`]: the pairs that `hset`, `mset`, `zadd` and their like take.

use std::collections::{BTreeMap, HashMap};

use super::arg::{Argument, ToArg};

/// Several pairs of arguments: fields and values, keys and values, scores and members.
///
/// Arrays, slices and vectors of tuples are pairs, and so are maps; their values have one type. A tuple of tuples takes values
/// of different types:
///
/// ```no_run
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// client.mset(&[("a", 1), ("b", 2)]).await?;
/// client.hset("user:1", (("name", "Ann"), ("visits", 7), ("score", 1.5))).await?;
/// # Ok(())
/// # }
/// ```
///
/// To implement it for your own type, pass its pairs to the closure. Pass the same pairs each time, because they are counted
/// before they are sent.
pub trait ToPairs {
    /// Calls `pair` with each pair, in order.
    fn each(&self, pair: impl FnMut(Argument<'_>, Argument<'_>));

    /// The number of pairs.
    #[doc(hidden)]
    fn count(&self) -> usize {
        let mut count = 0;
        self.each(|_, _| count += 1);
        count
    }
}

impl<K: ToArg, V: ToArg> ToPairs for [(K, V)] {
    #[inline]
    fn each(&self, mut pair: impl FnMut(Argument<'_>, Argument<'_>)) {
        for (one, other) in self {
            pair(one.to_arg(), other.to_arg());
        }
    }

    #[inline]
    fn count(&self) -> usize {
        self.len()
    }
}

impl<K: ToArg, V: ToArg, const N: usize> ToPairs for [(K, V); N] {
    #[inline]
    fn each(&self, pair: impl FnMut(Argument<'_>, Argument<'_>)) {
        self.as_slice().each(pair);
    }

    #[inline]
    fn count(&self) -> usize {
        N
    }
}

impl<K: ToArg, V: ToArg> ToPairs for Vec<(K, V)> {
    #[inline]
    fn each(&self, pair: impl FnMut(Argument<'_>, Argument<'_>)) {
        self.as_slice().each(pair);
    }

    #[inline]
    fn count(&self) -> usize {
        self.len()
    }
}

impl<T: ToPairs + ?Sized> ToPairs for &T {
    #[inline]
    fn each(&self, pair: impl FnMut(Argument<'_>, Argument<'_>)) {
        (**self).each(pair);
    }

    #[inline]
    fn count(&self) -> usize {
        (**self).count()
    }
}

macro_rules! map_to_pairs {
    ($map:ident<K, V $(, $more:ident)?>) => {
        impl<K: ToArg, V: ToArg $(, $more)?> ToPairs for $map<K, V $(, $more)?> {
            fn each(&self, mut pair: impl FnMut(Argument<'_>, Argument<'_>)) {
                for (key, value) in self {
                    pair(key.to_arg(), value.to_arg());
                }
            }
        }
    };
}

map_to_pairs!(BTreeMap<K, V>);
map_to_pairs!(HashMap<K, V, S>);

macro_rules! tuple_to_pairs {
    ($($key:ident $value:ident $pair:ident),*) => {
        impl<$($key: ToArg, $value: ToArg),*> ToPairs for ($(($key, $value),)*) {
            #[inline]
            fn each(&self, mut pair: impl FnMut(Argument<'_>, Argument<'_>)) {
                let ($($pair,)*) = self;
                $(pair($pair.0.to_arg(), $pair.1.to_arg());)*
            }
        }
    };
}

tuple_to_pairs!(K0 V0 p0);
tuple_to_pairs!(K0 V0 p0, K1 V1 p1);
tuple_to_pairs!(K0 V0 p0, K1 V1 p1, K2 V2 p2);
tuple_to_pairs!(K0 V0 p0, K1 V1 p1, K2 V2 p2, K3 V3 p3);
tuple_to_pairs!(K0 V0 p0, K1 V1 p1, K2 V2 p2, K3 V3 p3, K4 V4 p4);
tuple_to_pairs!(K0 V0 p0, K1 V1 p1, K2 V2 p2, K3 V3 p3, K4 V4 p4, K5 V5 p5);
tuple_to_pairs!(K0 V0 p0, K1 V1 p1, K2 V2 p2, K3 V3 p3, K4 V4 p4, K5 V5 p5, K6 V6 p6);
tuple_to_pairs!(K0 V0 p0, K1 V1 p1, K2 V2 p2, K3 V3 p3, K4 V4 p4, K5 V5 p5, K6 V6 p6, K7 V7 p7);
tuple_to_pairs!(K0 V0 p0, K1 V1 p1, K2 V2 p2, K3 V3 p3, K4 V4 p4, K5 V5 p5, K6 V6 p6, K7 V7 p7, K8 V8 p8);
tuple_to_pairs!(
    K0 V0 p0, K1 V1 p1, K2 V2 p2, K3 V3 p3, K4 V4 p4, K5 V5 p5, K6 V6 p6, K7 V7 p7, K8 V8 p8, K9 V9 p9
);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pairs: impl ToPairs) -> String {
        let mut text = format!("{}:", ToPairs::count(&pairs));
        let word = |argument: Argument<'_>| match argument {
            Argument::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Argument::Integer(number) => number.to_string(),
            Argument::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        pairs.each(|one, other| text.push_str(&format!(" {}={}", word(one), word(other))));
        text
    }

    #[test]
    #[expect(clippy::needless_borrows_for_generic_args, reason = "callers pass references as well")]
    fn all_kinds_of_pairs_keep_their_order() {
        assert_eq!(text(&[("a", 1), ("b", 2)]), "2: a=1 b=2");
        assert_eq!(text([("a", 1)]), "1: a=1");
        assert_eq!(text(&vec![("a".to_owned(), b"x".to_vec())]), "1: a=x");
        assert_eq!(text(&[("a", 1), ("b", 2)][1..]), "1: b=2");
        assert_eq!(text((("name", "Ann"), ("visits", 7), (1.5, b"raw"))), "3: name=Ann visits=7 1.5=raw");
        assert_eq!(text((("name", "Ann"),)), "1: name=Ann");
        assert_eq!(text(BTreeMap::from([("b", 2.5), ("a", 1.0)])), "2: a=1 b=2.5");
        assert_eq!(text(&HashMap::from([("a", 1)])), "1: a=1");
    }
}
