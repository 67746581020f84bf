//! Resolves host names without the C library. A release for Linux is linked statically, and glibc's
//! `getaddrinfo` would load the plugins that the host's `nsswitch.conf` names, which a static
//! program can't do. Only `/etc/hosts` and the name servers of `/etc/resolv.conf` are used.

use std::net::SocketAddr;

use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Reads the system's configuration again for each name; a process resolves only one or two.
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
        // If no name server is configured, names in `/etc/hosts` are still found.
        .unwrap_or_else(|_| {
            let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            Resolver::builder_with_config(nobody, TokioRuntimeProvider::default())
        })
        .build()
}
