//! Names of hosts to addresses, without the C library: a release for Linux is linked statically,
//! and there glibc's `getaddrinfo` would load whatever plugins the host's `nsswitch.conf` names.
//! `/etc/hosts` and the name servers of `/etc/resolv.conf` are asked, and nobody else.

use std::net::SocketAddr;

use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Reads the system's configuration with each name, of which a process asks for one or two.
pub(super) struct SystemFiles;

impl Resolve for SystemFiles {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = resolver()?.lookup_ip(name.as_str()).await?;
            let addresses: Vec<_> = found.iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn resolver() -> Result<TokioResolver, NetError> {
    Resolver::builder_tokio()
        // No name server is configured: what `/etc/hosts` names is still found.
        .unwrap_or_else(|_| {
            let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            Resolver::builder_with_config(nobody, TokioRuntimeProvider::default())
        })
        .build()
}
