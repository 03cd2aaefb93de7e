//! All parts together: issuer, API server, collector, and Envoy with the filter.

use crate::client::Client;
use crate::collector::Collector;
use crate::envoy::{self, Backend, Envoy, HandedOver};
use crate::issuer::{Claims, Issuer};
use crate::kube::{self, Assets, Kube};
use crate::kubectl::Kubectl;
use crate::pki::{Authority, Leaf};
use crate::process::{WorkDir, eventually, filter};
use crate::proxy::Proxy;
use crate::standin::{self, Logged, StandIn};
use crate::wire::Wire;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Which API server is behind the gateway.
#[derive(Clone, Debug)]
pub enum ApiKind {
    /// The stand-in that ships with the tests.
    StandIn,
    /// A real kube-apiserver.
    Kube(Assets),
    /// One that runs already: where it is, and the token to inject.
    Own(Backend, String),
}

/// The API server behind the gateway.
enum Api {
    StandIn(StandIn),
    Kube(Box<Kube>),
    Own(Backend, String),
}

/// A request, as the API server's log has it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its HTTP method.
    pub method: String,
    /// Its path and query.
    pub uri: String,
    /// `Audit-ID`.
    pub audit_id: String,
    /// Who it was, to the API server.
    pub user: String,
    /// Where it came from, as far as the API server knows.
    pub source_ips: Vec<String>,
}

/// What to start; see [`Stage::builder`].
pub struct Builder {
    api: ApiKind,
    concurrency: u32,
    filter: Vec<(String, Value)>,
    clusters: Vec<(String, Backend)>,
    issuer: Option<Issuer>,
    faults: bool,
    inline_keys: bool,
    dynamic: bool,
    module: Option<PathBuf>,
    env: Vec<(String, String)>,
    unfiltered: bool,
}

/// What Envoy is started with, also again.
struct Setup {
    filter: Value,
    module: PathBuf,
    api: Backend,
    collector: Backend,
    idp: Backend,
    clusters: Vec<(String, Backend)>,
    leaf: Leaf,
    concurrency: u32,
    env: Vec<(String, String)>,
    dynamic: bool,
    unfiltered: bool,
    /// Whether the issuer gives its keys, so that they can be waited for.
    keys_come: bool,
}

/// Everything, running.
pub struct Stage {
    /// Who signs the agents' tokens.
    pub issuer: Issuer,
    /// Where records go.
    pub collector: Collector,
    /// The gateway.
    pub envoy: Envoy,
    /// What stands between Envoy and the collector, where faults are wanted.
    pub proxy: Option<Proxy>,
    /// What stands between Envoy and the API server, where faults are wanted.
    pub wire: Option<Wire>,
    setup: Setup,
    api: Api,
    authority: Authority,
    dir: WorkDir,
}

impl Builder {
    /// Envoy's workers; default 1.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Sets a field of the filter's configuration, by JSON pointer; `/a/b` where `/a` is there.
    pub fn filter(mut self, pointer: &str, value: Value) -> Self {
        self.filter.push((pointer.to_owned(), value));
        self
    }

    /// Gives Envoy a further cluster, without TLS.
    pub fn cluster(mut self, name: &str, address: SocketAddr) -> Self {
        self.clusters.push((name.to_owned(), Backend::plain(address)));
        self
    }

    /// Takes this issuer, as it is by then. Where it is failing, nothing waits for its keys.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuer = Some(issuer);
        self
    }

    /// Puts a [`Proxy`] before the collector and a [`Wire`] before the API server.
    pub fn faults(mut self) -> Self {
        self.faults = true;
        self
    }

    /// Lets the filter's configuration change while Envoy runs: [`Stage::reconfigure`].
    pub fn dynamic(mut self) -> Self {
        self.dynamic = true;
        self
    }

    /// Puts the issuer's keys into the filter's configuration, so that a VM knows them from its start.
    pub fn inline_keys(mut self) -> Self {
        self.inline_keys = true;
        self
    }

    /// Leaves the filter out of Envoy, to compare with: who asks needs the API server's own credential.
    pub fn unfiltered(mut self) -> Self {
        self.unfiltered = true;
        self
    }

    /// Another build of the filter.
    pub fn module(mut self, module: PathBuf) -> Self {
        self.module = Some(module);
        self
    }

    /// A further environment variable for Envoy.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Starts everything.
    pub async fn start(self) -> Result<Stage> {
        let dir = WorkDir::new()?;
        match self.start_in(&dir).await {
            Ok(start) => Ok(start(dir)),
            Err(error) => Err(error.context(format!("the stage in {}", dir.path("").display()))),
        }
    }

    async fn start_in(self, dir: &WorkDir) -> Result<impl FnOnce(WorkDir) -> Stage + use<>> {
        let authority = Authority::new("Chaperone tests");
        let issuer = match self.issuer {
            Some(issuer) => issuer,
            None => Issuer::start().await?,
        };
        let start_api = async || match self.api {
            ApiKind::StandIn => {
                let options =
                    standin::Options { authority: &authority, tokens: vec![kube::TOKEN.to_owned()] };
                Ok(Api::StandIn(StandIn::start(options).await?))
            }
            ApiKind::Kube(assets) => Ok(Api::Kube(Box::new(Kube::start(&assets, &authority, dir).await?))),
            ApiKind::Own(backend, token) => anyhow::Ok(Api::Own(backend, token)),
        };
        let (api, collector) = tokio::try_join!(start_api(), Collector::start(dir))?;
        let mut config = envoy::filter_config()?;
        *config.pointer_mut("/authentication/jwt/0/issuer/url").context("no issuer in envoy.yaml")? =
            json!(issuer.url());
        for (pointer, value) in self.filter {
            let (parent, field) = pointer.rsplit_once('/').context("a pointer begins with /")?;
            let parent = config.pointer_mut(parent).with_context(|| format!("no {parent}"))?;
            parent[field] = value;
        }
        if self.inline_keys {
            config["authentication"]["jwt"][0]["issuer"]["jwks"] = issuer.jwks();
        }
        let mut api_backend = api.backend(&authority);
        let (mut proxy, mut wire) = (None, None);
        let mut collector_address = collector.address();
        if self.faults {
            collector_address = proxy.insert(Proxy::to(collector_address).await?).address();
            api_backend.port = wire.insert(Wire::to(api.address()?).await?).address().port();
        }
        let mut env = self.env;
        for (name, value) in [
            ("CHAPERONE_UPSTREAM_TOKEN", api.token().to_owned()),
            ("CHAPERONE_COLLECTOR_TOKEN", collector.ingest_token().to_owned()),
            ("CHAPERONE_SIGNING_KEY", collector.signing_key()?),
        ] {
            env.push((name.to_owned(), value));
        }
        let setup = Setup {
            filter: config,
            module: self.module.map_or_else(filter, Ok)?,
            api: api_backend,
            collector: Backend::plain(collector_address),
            idp: Backend::plain(issuer.address()),
            clusters: self.clusters,
            leaf: authority.issue(&["127.0.0.1", "localhost"]),
            concurrency: self.concurrency,
            env,
            dynamic: self.dynamic,
            unfiltered: self.unfiltered,
            keys_come: !issuer.is_failing() && !self.unfiltered,
        };
        let envoy = setup.start(dir).await?;
        Ok(|dir| Stage { issuer, collector, envoy, proxy, wire, setup, api, authority, dir })
    }
}

impl Setup {
    async fn start(&self, dir: &WorkDir) -> Result<Envoy> {
        let config = envoy::Config {
            filter: &self.filter,
            api: self.api.clone(),
            collector: self.collector.clone(),
            idp: self.idp.clone(),
            more: &self.clusters,
            leaf: &self.leaf,
            concurrency: self.concurrency,
            module: &self.module,
            env: &self.env,
            dynamic: self.dynamic,
        };
        let mut bootstrap = envoy::bootstrap(&config, dir)?;
        if self.unfiltered {
            const FILTERS: &str =
                "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
            let filters = bootstrap.pointer_mut(FILTERS).and_then(Value::as_array_mut);
            filters.context("no filters in envoy.yaml")?.remove(0);
        }
        let envoy = Envoy::with(&bootstrap, &config, dir).await?;
        let keys = self.filter.pointer("/authentication/jwt/0/issuer/jwks");
        if self.keys_come && keys.is_none_or(Value::is_null) {
            keys_are_there(&envoy, self.concurrency).await?;
        }
        Ok(envoy)
    }
}

/// Waits until every worker's VM, and the main thread's, has the issuer's discovery document and its keys.
async fn keys_are_there(envoy: &Envoy, workers: u32) -> Result<()> {
    let fetches = 2 * (u64::from(workers) + 1);
    let fetched = async || {
        let stats = envoy.stats("cluster.idp.upstream_rq_completed").await.ok()?;
        stats.values().any(|count| *count >= fetches).then_some(())
    };
    eventually("keys in the filter", Duration::from_secs(20), fetched).await
}

impl Arrival {
    /// The stand-in knows its callers by their tokens.
    fn from_logged(logged: &Logged) -> Self {
        let header = |name| logged.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let as_injected = header("authorization").eq([format!("Bearer {}", kube::TOKEN)]);
        Self {
            method: logged.method.clone(),
            uri: logged.uri.clone(),
            audit_id: logged.audit_id.clone(),
            user: if as_injected { kube::USER.to_owned() } else { String::new() },
            source_ips: header("x-forwarded-for").map(str::to_owned).collect(),
        }
    }

    /// One stage of each request is taken: its arrival.
    fn from_audit_event(event: &Value) -> Option<Self> {
        let text = |pointer| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let method = match text("/verb")?.as_str() {
            "get" | "list" | "watch" => "GET",
            "create" => "POST",
            "update" => "PUT",
            "patch" => "PATCH",
            "delete" | "deletecollection" => "DELETE",
            _ => "",
        };
        (event["stage"] == "RequestReceived").then_some(Self {
            method: method.to_owned(),
            uri: text("/requestURI")?,
            audit_id: text("/auditID")?,
            user: text("/user/username")?,
            source_ips: event["sourceIPs"]
                .as_array()?
                .iter()
                .filter_map(|ip| ip.as_str().map(str::to_owned))
                .collect(),
        })
    }
}

impl Api {
    fn address(&self) -> Result<SocketAddr> {
        match self {
            Self::StandIn(standin) => Ok(standin.address()),
            Self::Kube(kube) => Ok(kube.address()),
            Self::Own(..) => bail!("faults are for API servers that the stage starts"),
        }
    }

    fn backend(&self, authority: &Authority) -> Backend {
        match self {
            Self::StandIn(standin) => Backend::tls(standin.address(), authority.pem()),
            Self::Kube(kube) => Backend::tls(kube.address(), authority.pem()),
            Self::Own(backend, _) => backend.clone(),
        }
    }

    fn token(&self) -> &str {
        match self {
            Self::StandIn(_) | Self::Kube(_) => kube::TOKEN,
            Self::Own(_, token) => token,
        }
    }
}

impl Stage {
    /// A stage with this API server.
    pub fn builder(api: ApiKind) -> Builder {
        Builder {
            api,
            concurrency: 1,
            unfiltered: false,
            filter: Vec::new(),
            clusters: Vec::new(),
            issuer: None,
            faults: false,
            inline_keys: false,
            dynamic: false,
            module: None,
            env: Vec::new(),
        }
    }

    /// The token of an agent that says everything about itself: who, which session, model and prompt.
    pub fn agent(&self, user: &str, session: &str) -> Claims {
        Claims::new(user)
            .groups(["developers"])
            .session(session)
            .model("claude-opus-4-5")
            .prompt_sha256("0b1f5a3c4a5ab2a0a1d0e3e1f3ac1f0a9d0d8c7b6a5948372615049382716050")
            .agent("deploy-bot")
    }

    /// Where agents connect.
    pub fn url(&self) -> String {
        format!("https://{}", self.envoy.address())
    }

    /// Envoy's admin interface.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.envoy.admin().address())
    }

    /// kubectl, pointed at the gateway, with this token or none. `name` names its kubeconfig.
    pub fn kubectl(&self, name: &str, token: Option<&str>) -> Result<Kubectl> {
        Kubectl::new(name, &self.url(), self.authority.pem(), token, &self.dir)
    }

    /// kubectl, pointed at the API server with the injected credential, past the gateway.
    pub fn kubectl_direct(&self, name: &str) -> Result<Kubectl> {
        let backend = self.api.backend(&self.authority);
        let url = format!("https://{}:{}", backend.host, backend.port);
        Kubectl::new(name, &url, self.authority.pem(), Some(self.api.token()), &self.dir)
    }

    /// An HTTP client of the gateway, without a token.
    pub fn client(&self) -> Result<Client> {
        Client::tls(self.envoy.address(), self.authority.pem())
    }

    /// A client of the API server with the injected credential, past the gateway.
    pub fn direct(&self) -> Result<Client> {
        let backend = self.api.backend(&self.authority);
        let address = std::net::ToSocketAddrs::to_socket_addrs(&(backend.host.as_str(), backend.port))?
            .next()
            .context("the API server has no address")?;
        let client = match &backend.authority {
            Some(authority) => Client::tls(address, authority)?,
            None => Client::plain(address),
        };
        Ok(client.with_token(self.api.token()))
    }

    /// What the API server's own log says of the requests that reached it.
    pub fn arrivals(&self) -> Vec<Arrival> {
        match &self.api {
            Api::StandIn(standin) => standin.log().iter().map(Arrival::from_logged).collect(),
            Api::Kube(kube) => kube.audit_log().iter().filter_map(Arrival::from_audit_event).collect(),
            Api::Own(..) => Vec::new(),
        }
    }

    /// The requests that reached the stand-in after so many, headers and bodies too; empty for others.
    pub fn stand_in_log(&self, after: usize) -> Vec<Logged> {
        match &self.api {
            Api::StandIn(standin) => standin.log_after(after),
            Api::Kube(_) | Api::Own(..) => Vec::new(),
        }
    }

    /// The real API server's audit log so far, as it wrote it; empty for others.
    pub fn audit_log(&self) -> Vec<Value> {
        match &self.api {
            Api::Kube(kube) => kube.audit_log(),
            Api::StandIn(_) | Api::Own(..) => Vec::new(),
        }
    }

    /// The token that goes upstream.
    pub fn upstream_token(&self) -> &str {
        self.api.token()
    }

    /// Who has that token, to the API server.
    pub fn upstream_user(&self) -> &'static str {
        kube::USER
    }

    /// Whether the API server is a real one.
    pub fn is_real(&self) -> bool {
        !matches!(self.api, Api::StandIn(_))
    }

    /// The authority that the gateway's certificate is of, PEM.
    pub fn authority(&self) -> &str {
        self.authority.pem()
    }

    /// Who issues this run's certificates.
    pub fn pki(&self) -> &Authority {
        &self.authority
    }

    /// The folder of this run.
    pub fn dir(&self) -> &WorkDir {
        &self.dir
    }

    /// Starts the collector again after it was stopped.
    pub async fn restart_collector(&mut self) -> Result<()> {
        self.collector.start_again(&self.dir).await
    }

    /// Starts Envoy again after it was killed; it listens on another port then.
    pub async fn restart_envoy(&mut self) -> Result<()> {
        self.envoy = self.setup.start(&self.dir).await?;
        Ok(())
    }

    /// Gives the running Envoy another configuration of the filter, with this field set.
    pub async fn reconfigure(&mut self, pointer: &str, value: Value, how: HandedOver) -> Result<()> {
        let (parent, field) = pointer.rsplit_once('/').context("a pointer begins with /")?;
        let parent = self.setup.filter.pointer_mut(parent).with_context(|| format!("no {parent}"))?;
        parent[field] = value;
        self.envoy.reconfigure(&self.setup.filter, how, &self.dir).await
    }

    /// The stand-in behind the gateway.
    pub fn standin(&self) -> Result<&StandIn> {
        match &self.api {
            Api::StandIn(standin) => Ok(standin),
            Api::Kube(_) | Api::Own(..) => bail!("the API server is no stand-in"),
        }
    }

    /// Ends everything in good order, and removes what it wrote.
    pub async fn stop(mut self) -> Result<()> {
        self.envoy.stop().await?;
        self.collector.stop().await?;
        if let Api::Kube(kube) = self.api {
            kube.stop().await?;
        }
        self.dir.remove();
        Ok(())
    }
}
