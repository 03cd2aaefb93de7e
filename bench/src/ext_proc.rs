//! The external processor: Chaperone's own core, natively, in a gRPC server that Envoy asks about every exchange. It masks,
//! records, signs and posts what the filter does; what differs is only where it runs.

use anyhow::{Context as _, Result, anyhow};
use chaperone_filter::config::FilterConfig;
use chaperone_filter::exchange::{
    Answer, Arrival, AtRequestBody, AtRequestHeaders, AtResponseBody, AtResponseHeaders, Callout, Exchange,
    Gateway, Header, LocalReply,
};
use chaperone_filter::identity::SignatureVerifier;
use chaperone_record::Timestamp;
use clap::Args;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::ext_proc::v3::body_mutation::Mutation;
use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::{
    ExternalProcessor, ExternalProcessorServer,
};
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Asked;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Answered;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyMutation, BodyResponse, CommonResponse, HeaderMutation, HeadersResponse, HttpHeaders,
    ImmediateResponse, ProcessingRequest, ProcessingResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use std::cell::RefCell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// As the filter's.
const TICK: Duration = Duration::from_millis(100);

/// What it is started with.
#[derive(Args, Debug)]
pub struct Options {
    /// The filter's configuration.
    #[arg(long)]
    config: PathBuf,
    /// Where its port is written.
    #[arg(long)]
    port_file: PathBuf,
    /// The collector.
    #[arg(long)]
    collector: SocketAddr,
}

type Answers = mpsc::Sender<Result<ProcessingResponse, Status>>;
type Session = (Streaming<ProcessingRequest>, Answers);

/// Hands Envoy's streams to the core, which is on one thread, this one.
struct Processor(mpsc::UnboundedSender<Session>);

/// The core and its way to the collector.
struct Core {
    gateway: RefCell<Gateway>,
    client: Client<HttpConnector, Full<Bytes>>,
    collector: SocketAddr,
}

/// Verifies as Envoy does for the filter.
struct Ring;

/// Serves until it is ended.
pub fn serve(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, listen(options))
}

async fn listen(options: Options) -> Result<()> {
    let config = fs::read(&options.config)?;
    let config = FilterConfig::parse(&config, &|name| std::env::var(name).ok());
    let config = config.map_err(|problems| anyhow!("{problems:?}"))?;
    let gateway =
        Gateway::new(config, now(), fastrand::u128(..).to_le_bytes(), "ext-proc".to_owned(), "0".to_owned())
            .map_err(|problems| anyhow!("{problems:?}"))?;
    let core = Rc::new(Core {
        gateway: RefCell::new(gateway),
        client: Client::builder(TokioExecutor::new()).build_http(),
        collector: options.collector,
    });
    let (sender, mut sessions) = mpsc::unbounded_channel();
    spawn_local({
        let core = core.clone();
        async move {
            while let Some((asked, answers)) = sessions.recv().await {
                spawn_local(core.clone().session(asked, answers));
            }
        }
    });
    spawn_local(core.ticking());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    fs::write(&options.port_file, listener.local_addr()?.port().to_string())?;
    let service = ExternalProcessorServer::new(Processor(sender)).max_decoding_message_size(8 << 20);
    let server = tonic::transport::Server::builder().add_service(service);
    Ok(server.serve_with_incoming(TcpListenerStream::new(listener)).await?)
}

#[tonic::async_trait]
impl ExternalProcessor for Processor {
    type ProcessStream = ReceiverStream<Result<ProcessingResponse, Status>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let (answers, stream) = mpsc::channel(16);
        self.0.send((request.into_inner(), answers)).map_err(|_| Status::unavailable("it ends"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

// === impl Core ===

impl Core {
    /// One exchange.
    async fn session(self: Rc<Self>, mut asked: Streaming<ProcessingRequest>, answers: Answers) {
        let mut exchange = None;
        while let Ok(Some(ProcessingRequest { request: Some(request), .. })) = asked.message().await {
            let answer = self.answer(&mut exchange, request);
            let answer = ProcessingResponse { response: Some(answer), ..ProcessingResponse::default() };
            if answers.send(Ok(answer)).await.is_err() {
                break;
            }
        }
        if let Some(mut exchange) = exchange {
            exchange.on_log(&mut self.gateway.borrow_mut(), now());
        }
    }

    fn answer(&self, exchange: &mut Option<Exchange>, asked: Asked) -> Answered {
        let gateway = &mut *self.gateway.borrow_mut();
        if let Asked::RequestHeaders(head) = asked {
            let headers = pairs(&head);
            let arrival = Arrival {
                headers: headers.clone(),
                end_of_stream: head.end_of_stream,
                source: String::new(),
            };
            let random = fastrand::u128(..).to_le_bytes();
            let (begun, answer) =
                Exchange::begin(gateway, now(), *random.first_chunk().unwrap_or(&[0; 10]), arrival, &Ring);
            *exchange = Some(begun);
            return match answer {
                AtRequestHeaders::Forward(after) => Answered::RequestHeaders(changed(&headers, after)),
                AtRequestHeaders::Reply(reply) => immediate(reply),
                AtRequestHeaders::Confirm(..) | AtRequestHeaders::Mint(_) => immediate(LocalReply::broken()),
            };
        }
        let Some(exchange) = exchange else { return immediate(LocalReply::broken()) };
        match asked {
            Asked::RequestBody(piece) => {
                match exchange.on_request_body(gateway, now(), &piece.body, piece.end_of_stream) {
                    AtRequestBody::Pass => Answered::RequestBody(body(None)),
                    AtRequestBody::Replace(bytes) => Answered::RequestBody(body(Some(bytes))),
                    AtRequestBody::Reply(reply) => immediate(reply),
                    AtRequestBody::Confirm(..) | AtRequestBody::Cut => immediate(LocalReply::broken()),
                }
            }
            Asked::ResponseHeaders(head) => {
                let headers = pairs(&head);
                match exchange.on_response_headers(gateway, now(), headers.clone(), head.end_of_stream, true)
                {
                    AtResponseHeaders::Pass(after) => Answered::ResponseHeaders(changed(&headers, after)),
                    AtResponseHeaders::Reply(reply) => immediate(reply),
                }
            }
            Asked::ResponseBody(piece) => {
                match exchange.on_response_body(gateway, now(), &piece.body, piece.end_of_stream) {
                    AtResponseBody::Keep => Answered::ResponseBody(body(None)),
                    AtResponseBody::Replace(bytes) => Answered::ResponseBody(body(Some(bytes))),
                    AtResponseBody::Cut => immediate(LocalReply::broken()),
                }
            }
            Asked::RequestHeaders(_) | Asked::RequestTrailers(_) | Asked::ResponseTrailers(_) => {
                immediate(LocalReply::broken())
            }
        }
    }

    async fn ticking(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let callouts = self.gateway.borrow_mut().on_tick(now());
            self.send(callouts);
        }
    }

    fn send(self: &Rc<Self>, callouts: Vec<Callout>) {
        for callout in callouts {
            let core = self.clone();
            spawn_local(async move {
                let answer = core.post(&callout).await.unwrap_or(Answer::NONE);
                let notices =
                    core.gateway.borrow_mut().on_answer(now(), fastrand::u64(..), callout.purpose, &answer);
                notices.iter().for_each(|notice| eprintln!("{notice}"));
                let due = core.gateway.borrow_mut().due_posts(now());
                core.send(due);
            });
        }
    }

    async fn post(&self, callout: &Callout) -> Result<Answer> {
        let of = |name| callout.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        let uri = format!("http://{}{}", self.collector, of(":path").context("no path")?);
        let mut request = hyper::Request::builder().method(of(":method").context("no method")?).uri(uri);
        for (name, value) in callout.headers.iter().filter(|(name, _)| !name.starts_with(':')) {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::copy_from_slice(&callout.body));
        let response = self.client.request(request.body(body)?).await?;
        let status = Some(response.status().as_u16());
        Ok(Answer { status, body: response.into_body().collect().await?.to_bytes().to_vec() })
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(0))
}

fn pairs(head: &HttpHeaders) -> Vec<Header> {
    let headers = head.headers.iter().flat_map(|map| &map.headers);
    headers.map(|header| (header.key.clone().into_bytes(), header.raw_value.clone())).collect()
}

/// What turns the one list of headers into the other.
fn changed(before: &[Header], after: Vec<Header>) -> HeadersResponse {
    let gone = before.iter().filter(|(name, _)| !after.iter().any(|(kept, _)| kept == name));
    let remove_headers = gone.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    let set_headers = after
        .into_iter()
        .filter(|header| !before.contains(header))
        .map(|(name, raw_value)| HeaderValueOption {
            header: Some(HeaderValue {
                key: String::from_utf8_lossy(&name).into_owned(),
                raw_value,
                ..HeaderValue::default()
            }),
            append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
            ..HeaderValueOption::default()
        })
        .collect();
    let header_mutation = Some(HeaderMutation { set_headers, remove_headers });
    HeadersResponse { response: Some(CommonResponse { header_mutation, ..CommonResponse::default() }) }
}

/// The piece as it came, or this in its place.
fn body(replaced: Option<Vec<u8>>) -> BodyResponse {
    let mutation = |bytes: Vec<u8>| match bytes.is_empty() {
        true => Mutation::ClearBody(true),
        false => Mutation::Body(bytes),
    };
    let body_mutation = replaced.map(|bytes| BodyMutation { mutation: Some(mutation(bytes)) });
    BodyResponse { response: Some(CommonResponse { body_mutation, ..CommonResponse::default() }) }
}

fn immediate(reply: LocalReply) -> Answered {
    Answered::ImmediateResponse(ImmediateResponse {
        status: Some(HttpStatus { code: i32::from(reply.status) }),
        body: reply.body,
        ..ImmediateResponse::default()
    })
}

// === impl Ring ===

impl SignatureVerifier for Ring {
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], text: &[u8]) -> Option<bool> {
        // An uncompressed point ends the key of P-256.
        let point = spki_der.last_chunk::<65>()?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        (hash == "sha256").then(|| key.verify(text, signature).is_ok())
    }
}
