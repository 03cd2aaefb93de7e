//! Which API server the demo talks to.

use anyhow::{Context as _, Result, bail};
use chaperone_test_harness::envoy::Backend;
use chaperone_test_harness::kube::Assets;
use chaperone_test_harness::stage::ApiKind;
use std::env;
use std::fs;

/// The API server that the environment asks for, else a real one if it is there; and what to call it.
pub fn chosen() -> Result<(ApiKind, String)> {
    let said = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(url) = said("KUBE_API") {
        let ca = said("KUBE_CA").context("KUBE_CA: the file with the certificate authority of KUBE_API")?;
        let token = said("KUBE_TOKEN").context("KUBE_TOKEN: the bearer token to use at KUBE_API")?;
        let authority = fs::read_to_string(&ca).with_context(|| format!("KUBE_CA: {ca}"))?;
        return Ok((ApiKind::Own(backend(&url, authority)?, token), format!("yours, {url}")));
    }
    let real = || Assets::find().map(ApiKind::Kube);
    let stand_in = (ApiKind::StandIn, "the stand-in that ships with the tests".to_owned());
    match said("DEMO_API").as_deref() {
        Some("standin") => Ok(stand_in),
        Some("kube") => {
            let kube = real()
                .context("DEMO_API=kube: there is no kube-apiserver here; `make kube-assets` gets one")?;
            Ok((kube, "a real kube-apiserver".to_owned()))
        }
        Some(other) => bail!("DEMO_API={other}: expected standin or kube"),
        None => Ok(real().map_or(stand_in, |kube| (kube, "a real kube-apiserver".to_owned()))),
    }
}

fn backend(url: &str, authority: String) -> Result<Backend> {
    let uri: hyper::Uri = url.parse().with_context(|| format!("KUBE_API: {url}"))?;
    if uri.scheme_str() != Some("https") {
        bail!("KUBE_API: {url} is not an https URL");
    }
    let host = uri.host().with_context(|| format!("KUBE_API: no host in {url}"))?;
    let host = host.trim_matches(['[', ']']).to_owned();
    Ok(Backend { host, port: uri.port_u16().unwrap_or(443), authority: Some(authority) })
}
