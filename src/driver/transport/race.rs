//! Several addresses of one name: the order in which they are tried, and the first that connects (RFC 8305).

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// The addresses in the order in which they are tried: each once, and the families in turn, beginning with the family of the
/// resolver's first address. So a family without a route costs one attempt, and not as many as it has addresses.
pub(super) fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let begins_with = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let mut families: [Vec<SocketAddr>; 2] = Default::default();
    let [first, second] = &mut families;
    for address in addresses {
        let family = if address.is_ipv6() == begins_with { &mut *first } else { &mut *second };
        if !family.contains(address) {
            family.push(*address);
        }
    }
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.iter(), second.iter());
    loop {
        let before = ordered.len();
        ordered.extend(first.next());
        ordered.extend(second.next());
        if ordered.len() == before {
            return ordered;
        }
    }
}

/// The first socket that is connected. The next address is tried when one has failed, or after `delay`. Slower attempts are
/// dropped.
///
/// # Errors
/// The error of each address.
pub(super) async fn first<T, A, D>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> A,
    delay: impl Fn() -> D,
) -> Result<(SocketAddr, T), Vec<(SocketAddr, io::Error)>>
where
    A: Future<Output = io::Result<T>>,
    D: Future,
{
    let mut waiting = addresses.into_iter();
    let mut attempts: Vec<(SocketAddr, Pin<Box<A>>)> = Vec::new();
    let mut pause: Option<Pin<Box<D>>> = None;
    let mut problems = Vec::new();
    poll_fn(|context| {
        loop {
            if pause.is_none()
                && let Some(address) = waiting.next()
            {
                attempts.push((address, Box::pin(connect(address))));
                pause = (waiting.len() > 0).then(|| Box::pin(delay()));
            }
            let mut connected = None;
            let before = attempts.len();
            attempts.retain_mut(|(address, attempt)| match attempt.as_mut().poll(context) {
                _ if connected.is_some() => false,
                Poll::Pending => true,
                Poll::Ready(Ok(socket)) => {
                    connected = Some((*address, socket));
                    false
                }
                Poll::Ready(Err(error)) => {
                    problems.push((*address, error));
                    false
                }
            });
            if let Some(connected) = connected {
                return Poll::Ready(Ok(connected));
            }
            if attempts.is_empty() && waiting.len() == 0 {
                return Poll::Ready(Err(std::mem::take(&mut problems)));
            }
            let has_failed = attempts.len() < before;
            let mut has_paused =
                || pause.as_mut().is_some_and(|pause| pause.as_mut().poll(context).is_ready());
            if waiting.len() == 0 || !(has_failed || has_paused()) {
                return Poll::Pending;
            }
            pause = None;
        }
    })
    .await
}

/// How long an attempt that neither fails nor succeeds is the only one.
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{pending, ready};

    use futures_lite::future::{block_on, poll_once};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const FOUR: [&str; 4] = ["[2001:db8::1]:7", "[2001:db8::2]:7", "10.0.0.1:7", "10.0.0.2:7"];

    #[test]
    fn families_take_turns_from_the_resolvers_first() {
        for (found, tried) in [
            (&[][..], &[][..]),
            (&["10.0.0.1:7"], &["10.0.0.1:7"]),
            (&FOUR, &["[2001:db8::1]:7", "10.0.0.1:7", "[2001:db8::2]:7", "10.0.0.2:7"]),
            (&["10.0.0.1:7", "10.0.0.2:7", "[::1]:7"], &["10.0.0.1:7", "[::1]:7", "10.0.0.2:7"]),
            (&["10.0.0.1:7", "10.0.0.1:7", "10.0.0.2:7"], &["10.0.0.1:7", "10.0.0.2:7"]),
        ] {
            assert_eq!(in_turn(&addresses(found)), addresses(tried));
        }
    }

    /// How an attempt at an address ends.
    enum Fate {
        Hangs,
        Fails,
        Connects,
    }

    /// Which addresses are tried, as their last numbers, and which one connects. The first `delays` pauses end at once, and later
    /// ones never.
    fn raced(fates: &[Fate], delays: usize) -> (Vec<usize>, Option<Result<usize, usize>>) {
        let tried = RefCell::new(Vec::new());
        let paused = RefCell::new(0);
        let addresses = (0..fates.len()).map(|last| SocketAddr::from(([10, 0, 0, last as u8], 7))).collect();
        let connect = |address: SocketAddr| {
            let SocketAddr::V4(address) = address else { panic!("IPv4") };
            let last = usize::from(address.ip().octets()[3]);
            tried.borrow_mut().push(last);
            async move {
                match fates[last] {
                    Fate::Hangs => pending().await,
                    Fate::Fails => Err(io::ErrorKind::ConnectionRefused.into()),
                    Fate::Connects => ready(Ok(last)).await,
                }
            }
        };
        let delay = || {
            *paused.borrow_mut() += 1;
            let ends = *paused.borrow() <= delays;
            async move {
                if !ends {
                    pending::<()>().await;
                }
            }
        };
        let result = block_on(poll_once(first(addresses, connect, delay)));
        let result = result.map(|result| result.map(|(_, last)| last).map_err(|problems| problems.len()));
        (tried.into_inner(), result)
    }

    #[test]
    fn first_connection_wins_and_a_failure_starts_the_next_attempt() {
        use Fate::{Connects, Fails, Hangs};
        assert_eq!(raced(&[Connects, Connects], 0), (vec![0], Some(Ok(0))));
        assert_eq!(raced(&[Fails, Fails, Connects, Connects], 0), (vec![0, 1, 2], Some(Ok(2))));
        assert_eq!(raced(&[Hangs, Connects], 0), (vec![0], None));
        assert_eq!(raced(&[Hangs, Connects], 1), (vec![0, 1], Some(Ok(1))));
        assert_eq!(raced(&[Hangs, Fails, Connects], 1), (vec![0, 1, 2], Some(Ok(2))));
        assert_eq!(raced(&[Hangs, Hangs, Connects], 1), (vec![0, 1], None));
        assert_eq!(raced(&[Fails, Fails], 0), (vec![0, 1], Some(Err(2))));
        assert_eq!(raced(&[Hangs, Fails], 1), (vec![0, 1], None));
        assert_eq!(raced(&[], 0), (vec![], Some(Err(0))));
    }
}
