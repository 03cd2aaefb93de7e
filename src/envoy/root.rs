//! The root context: configuration, the tick, and the answers to what the tick sent.

use super::host;
use super::metrics::HostMetrics;
use super::stream::Stream;
use crate::config::FilterConfig;
use crate::exchange::{Answer, Callout, Gateway, Purpose};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How often the outbox and the key store are looked at. Half the default flush interval.
const TICK: Duration = Duration::from_millis(100);
/// Of a callout's answer so much is read: JWK sets are the largest.
const MOST_ANSWER: usize = 1 << 20;

/// What every stream of this worker shares.
pub(super) type Shared = Rc<RefCell<Gateway>>;

thread_local! {
    /// This VM's last gateway. A new configuration comes to the same VM, beside the old one.
    static LATEST: RefCell<Weak<RefCell<Gateway>>> = const { RefCell::new(Weak::new()) };
}

pub(super) struct Root {
    context: u32,
    gateway: Option<Shared>,
    /// The configuration is no longer used, but not everything is posted.
    leaving: bool,
    metrics: HostMetrics,
    under_way: HashMap<u32, Purpose>,
}

impl Root {
    pub(super) fn new(context: u32) -> Self {
        Self {
            context,
            gateway: None,
            leaving: false,
            metrics: HostMetrics::default(),
            under_way: HashMap::new(),
        }
    }

    fn send(&mut self, callout: Callout) {
        match host::dispatch(&callout) {
            Some(token) => {
                self.under_way.insert(token, callout.purpose);
            }
            None => self.answered(callout.purpose, &Answer::NONE),
        }
    }

    fn answered(&mut self, purpose: Purpose, answer: &Answer) {
        if let Some(gateway) = &self.gateway {
            let notices = gateway.borrow_mut().on_answer(host::now(), host::jitter(), purpose, answer);
            notices.iter().for_each(|notice| host::log_warn(notice));
        }
    }
}

impl Root {
    /// Posts what is left; whether anything is.
    fn leave(&mut self) -> bool {
        let Some(gateway) = self.gateway.clone() else { return false };
        let callouts = gateway.borrow_mut().on_leaving(host::now());
        let left = callouts.is_some();
        callouts.into_iter().flatten().for_each(|callout| self.send(callout));
        self.metrics.flush(gateway.borrow_mut().metrics());
        left
    }
}

impl Context for Root {
    /// Another configuration is in use, and no stream is left. This one stays until the collector has all its records.
    fn on_done(&mut self) -> bool {
        self.leaving = self.leave();
        !self.leaving
    }

    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _trailers: usize) {
        let Some(purpose) = self.under_way.remove(&token) else { return };
        let (status, body) = host::answer(headers, body, MOST_ANSWER);
        self.answered(purpose, &Answer { status, body });
        if let (Purpose::Batch(_), Some(gateway)) = (purpose, self.gateway.clone()) {
            let callouts = gateway.borrow_mut().due_posts(host::now());
            for callout in callouts {
                self.send(callout);
            }
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = host::buffer(BufferType::PluginConfiguration, 0, size);
        let config = match FilterConfig::parse(&bytes, &|name| std::env::var(name).ok()) {
            Ok(config) => config,
            Err(problems) => {
                for problem in problems {
                    host::log_error(&format!("Configuration refused: {problem}"));
                }
                return false;
            }
        };
        let Some(random) = host::random() else {
            host::log_error("Configuration refused: the host gives no random bytes.");
            return false;
        };
        let node = host::property(&["xds", "node", "id"]).unwrap_or_default();
        match Gateway::new(config, host::now(), random, node, self.context.to_string()) {
            Ok(mut gateway) => {
                let former = LATEST.with_borrow(Weak::upgrade);
                if let Some(former) = former.as_ref().and_then(|former| former.try_borrow().ok()) {
                    gateway.adopt_keys(&former);
                }
                let gateway = Rc::new(RefCell::new(gateway));
                LATEST.set(Rc::downgrade(&gateway));
                self.metrics = HostMetrics::define();
                self.gateway = Some(gateway);
                self.set_tick_period(TICK);
                host::log_info(concat!("Chaperone ", env!("CARGO_PKG_VERSION"), " is configured."));
                true
            }
            Err(problems) => {
                for problem in problems {
                    host::log_error(&format!("Configuration refused: {problem}"));
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if self.leaving {
            self.leaving = self.leave();
            if !self.leaving {
                host::done();
            }
            return;
        }
        let Some(gateway) = self.gateway.clone() else { return };
        let callouts = gateway.borrow_mut().on_tick(host::now());
        for callout in callouts {
            self.send(callout);
        }
        self.metrics.flush(gateway.borrow_mut().metrics());
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(self.gateway.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
