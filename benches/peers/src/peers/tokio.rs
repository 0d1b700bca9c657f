//! Shared by the clients on tokio: the runtime, the socket of an open loop, and what those on rustls trust.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use crate::callers::Callers;
use crate::pacer;
use crate::plan::Plan;

pub fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub fn multi_thread(plan: &Plan) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    if let Some(workers) = plan.workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().expect("a runtime")
}

/// Trusts the authority of the plan, if connections use TLS.
pub fn tls(plan: &Plan) -> Option<ClientConfig> {
    let pem = plan.ca_pem()?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    Some(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// The connections of a service whose client has no pool of its own. Requests take them in turn.
pub struct Connections<C>(Arc<(Vec<C>, AtomicUsize)>);

impl<C: Clone> Connections<C> {
    pub fn new(all: Vec<C>) -> Self {
        Connections(Arc::new((all, AtomicUsize::new(0))))
    }

    pub fn next(&self) -> C {
        let (all, turns) = &*self.0;
        all[turns.fetch_add(1, Ordering::Relaxed) % all.len()].clone()
    }
}

impl<C> Clone for Connections<C> {
    fn clone(&self) -> Self {
        Connections(self.0.clone())
    }
}

/// Passes the arrivals of an open loop on until the run is over.
pub async fn arrivals(callers: Arc<Callers>) {
    if callers.schedule.is_none() {
        return std::future::pending().await;
    }
    let socket = UnixStream::from_std(pacer::start(&callers)).expect("a socket");
    let mut bytes = [0; 256];
    while !callers.is_stopped() {
        socket.readable().await.expect("an open socket");
        if let Ok(count) = socket.try_read(&mut bytes) {
            pacer::arrived(&callers, &bytes[..count]);
        }
    }
}
