//! The client that commands hold: dials, asks, and asks again under the same key when the connection breaks.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::net::reconnect;
use crate::pki::credentials::Credentials;
use crate::wire::client::{Admin, RefusalCode, Reply, Request};

use super::config::Config;
use super::connection::{Connection, FRAME_BYTES_MAX, Replies, credentials, decode_reply, encode};
use super::error::{ClientError, Trouble};
use super::inside::Inside;

/// How long a plain command goes on asking before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The most frames of one answer that is taken whole.
pub const ANSWER_FRAMES_MAX: usize = 100_000;

/// What a waiting command may tell its user meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The connection is gone; it is being tried again.
    Lost(String),
    /// It is there again.
    Back,
}

type Listener = Box<dyn FnMut(&Notice)>;

/// Which way a command takes to the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the network, as its user.
    Network(Config),
    /// From inside a job, as that job.
    Inside(Inside),
}

impl std::convert::From<Config> for Way {
    fn from(config: Config) -> Way {
        Way::Network(config)
    }
}

impl std::convert::From<Inside> for Way {
    fn from(inside: Inside) -> Way {
        Way::Inside(inside)
    }
}

/// Asks the controller. Not connected until it is first asked something.
pub struct Client {
    pub(super) way: Way,
    patience: Duration,
    pub(super) credentials: Option<Credentials>,
    pub(super) connection: Option<Connection>,
    dialled: bool,
    sent: bool,
    failures: u32,
    lost: bool,
    listener: Option<Listener>,
}

impl Client {
    /// A client that takes that way. Nothing is read or dialled yet.
    pub fn new(way: impl Into<Way>) -> Client {
        Client {
            way: way.into(),
            patience: PATIENCE,
            credentials: None,
            connection: None,
            dialled: false,
            sent: false,
            failures: 0,
            lost: false,
            listener: None,
        }
    }

    /// With another patience than [`PATIENCE`].
    pub fn patient(mut self, patience: Duration) -> Client {
        self.patience = patience;
        self
    }

    /// Who hears of lost and regained connections while something is waited for.
    pub fn on_notice(&mut self, listener: impl FnMut(&Notice) + 'static) {
        self.listener = Some(Box::new(listener));
    }

    /// The caller's own credentials, loaded when first needed. A job has none.
    ///
    /// # Errors
    /// [`ClientError::Certificate`].
    pub fn credentials(&mut self) -> Result<Option<&Credentials>, ClientError> {
        if let (None, Way::Network(config)) = (&self.credentials, &self.way) {
            self.credentials = Some(credentials(config)?);
        }
        Ok(self.credentials.as_ref())
    }

    /// The controller's address that answered last; else the first one configured.
    pub fn address(&self) -> &str {
        let configured = || match &self.way {
            Way::Network(config) => config.controllers.first().map_or("", String::as_str),
            Way::Inside(inside) => inside.socket.to_str().unwrap_or("the job's socket"),
        };
        self.connection.as_ref().map_or_else(configured, Connection::address)
    }

    /// Asks for an answer of one reply.
    ///
    /// # Errors
    /// See [`ClientError`]. After [`ClientError::Unknown`] the same request may be sent again with the same key.
    pub async fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let mut replies = self.collect(request, |_| true).await?;
        replies.pop().ok_or_else(|| ClientError::Protocol("the controller sent an empty answer".to_owned()))
    }

    /// Asks for an answer of several replies; `is_last` knows the last one. If the connection breaks between, all
    /// of it is asked for again.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn collect(
        &mut self,
        request: &Request,
        is_last: impl Fn(&Reply) -> bool,
    ) -> Result<Vec<Reply>, ClientError> {
        let body = encode(request)?;
        let until = Instant::now() + self.patience;
        let mut maybe_accepted = false;
        loop {
            self.sent = false;
            let tried = timeout_at(until, self.try_collect(&body, &is_last)).await;
            let trouble = match tried {
                Ok(Ok(replies)) => return Ok(replies),
                Ok(Err(trouble)) => trouble,
                Err(_) => {
                    self.connection = None;
                    let reason = format!("no answer within {} s", self.patience.as_secs());
                    Trouble::Passing { sent: self.sent, reason }
                }
            };
            let reason = match trouble {
                Trouble::Final(ClientError::Refused(refusal))
                    if maybe_accepted && is_passing(refusal.code) =>
                {
                    refusal.message
                }
                Trouble::Final(ClientError::Refused(refusal)) if is_passing(refusal.code) => {
                    if !self.pause(until).await {
                        return Err(ClientError::Refused(refusal));
                    }
                    continue;
                }
                Trouble::Final(error) => return Err(error),
                Trouble::Passing { sent, reason } => {
                    maybe_accepted |= sent;
                    reason
                }
            };
            // What was never sent is not tried again: the caller is told at once that there is no controller.
            if !maybe_accepted && !self.dialled {
                return Err(ClientError::NotReached(reason));
            }
            if !self.pause(until).await {
                return Err(match maybe_accepted && is_mutating(request) {
                    true => ClientError::Unknown(reason),
                    false => ClientError::NotReached(reason),
                });
            }
        }
    }

    /// Closes the connection; returns as soon as the kernel has the close.
    pub async fn finish(mut self) {
        if let Some(connection) = self.connection.take() {
            connection.finish().await;
        }
    }

    /// Sends an encoded request over the open connection, or a new one.
    pub(super) async fn send(&mut self, body: &[u8]) -> Result<Replies, Trouble> {
        let config = match &self.way {
            Way::Network(config) => config,
            Way::Inside(inside) => {
                // The node goes on looking for the controller: it is worth waiting for.
                self.dialled = true;
                let mut conversation = inside.enter().await?;
                self.sent = true;
                conversation.request(body).await?;
                return Ok(Replies::Inside(conversation));
            }
        };
        let controllers = config.controllers.clone();
        if let Some(connection) = self.connection.take() {
            self.sent = true;
            match connection.request(body).await {
                // The controller closes connections on which nothing happens: that one is gone is no trouble yet.
                Err(Trouble::Passing { sent: false, .. }) => self.sent = false,
                Err(trouble) => return Err(trouble),
                Ok(replies) => {
                    self.connection = Some(connection);
                    return Ok(replies);
                }
            }
        }
        if self.dialled
            && let Ok(fresh) = credentials(config)
        {
            // Another command may have renewed the certificate since.
            self.credentials = Some(fresh);
        }
        let credentials = self.credentials().map_err(Trouble::Final)?.cloned();
        let credentials = credentials.ok_or_else(|| no_credentials(&self.way))?;
        let connection = Connection::open(&credentials, &controllers).await?;
        (self.dialled, self.sent) = (true, true);
        let replies = connection.request(body).await?;
        self.connection = Some(connection);
        Ok(replies)
    }

    /// The next reply of a request that was sent; refusals are errors. Forgets the connection when it broke.
    pub(super) async fn next(&mut self, replies: &mut Replies) -> Result<Option<Reply>, Trouble> {
        let next = match (replies, &self.connection) {
            (Replies::Inside(conversation), _) => inside_next(conversation).await,
            (Replies::Network(reader), Some(connection)) => connection.next(reader).await,
            (Replies::Network(_), None) => {
                return Err(Trouble::Passing { sent: true, reason: "the connection is gone".to_owned() });
            }
        };
        match next {
            Ok(Some(Reply::Refused(refusal))) => {
                self.heard();
                Err(Trouble::Final(ClientError::Refused(refusal)))
            }
            Ok(reply) => {
                self.heard();
                Ok(reply)
            }
            Err(trouble) => {
                self.connection = None;
                Err(trouble)
            }
        }
    }

    /// For what is waited for without end: whether the request may be sent again, after a pause that grows. Before
    /// the controller was first reached there is no point in it.
    ///
    /// # Errors
    /// What ends the waiting.
    pub(super) async fn outlive(&mut self, trouble: Trouble) -> Result<(), ClientError> {
        let reason = match trouble {
            Trouble::Final(ClientError::Refused(refusal)) if is_passing(refusal.code) => refusal.message,
            Trouble::Final(error) => return Err(error),
            Trouble::Passing { reason, .. } if !self.dialled => return Err(ClientError::NotReached(reason)),
            Trouble::Passing { reason, .. } => reason,
        };
        if !self.lost {
            self.lost = true;
            self.tell(&Notice::Lost(reason));
        }
        self.pause(Instant::now() + reconnect::PAUSE_MAX * 2).await;
        Ok(())
    }

    async fn try_collect(
        &mut self,
        body: &[u8],
        is_last: &impl Fn(&Reply) -> bool,
    ) -> Result<Vec<Reply>, Trouble> {
        let mut replies = self.send(body).await?;
        let mut answer = Vec::new();
        loop {
            let Some(reply) = self.next(&mut replies).await? else {
                let reason = "the answer ended too early".to_owned();
                return Err(Trouble::Passing { sent: true, reason });
            };
            if answer.len() == ANSWER_FRAMES_MAX {
                let words = format!("the answer has more than {ANSWER_FRAMES_MAX} parts");
                return Err(Trouble::Final(ClientError::Protocol(words)));
            }
            let last = is_last(&reply);
            answer.push(reply);
            if last {
                return Ok(answer);
            }
        }
    }

    /// Sleeps before the next try; false when that would be after `until`.
    async fn pause(&mut self, until: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let random = getrandom::u64().unwrap_or_default();
        let next = Instant::now() + reconnect::pause(self.failures, random);
        if next >= until {
            return false;
        }
        sleep_until(next).await;
        true
    }

    fn heard(&mut self) {
        self.failures = 0;
        if std::mem::take(&mut self.lost) {
            self.tell(&Notice::Back);
        }
    }

    fn tell(&mut self, notice: &Notice) {
        if let Some(listener) = &mut self.listener {
            listener(notice);
        }
    }
}

async fn inside_next(conversation: &mut super::inside::Conversation) -> Result<Option<Reply>, Trouble> {
    match conversation.next(FRAME_BYTES_MAX).await? {
        Some(frame) => decode_reply(&frame).map(Some),
        None => Ok(None),
    }
}

fn no_credentials(way: &Way) -> Trouble {
    Trouble::Final(ClientError::System(format!("no credentials for {way:?}")))
}

/// Whether a refusal only means "later".
fn is_passing(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::Busy | RefusalCode::Stopping)
}

/// Whether a request changes something, so that an answer that never came leaves the outcome unknown.
fn is_mutating(request: &Request) -> bool {
    match request {
        Request::Submit(submit) => !submit.test_only,
        Request::Act(act) => !act.dry_run,
        Request::NodeAct(_) => true,
        Request::Admin(admin) => matches!(
            admin,
            Admin::Stop
                | Admin::UserAdd { .. }
                | Admin::UserRemove { .. }
                | Admin::CertificateRevoke { .. }
                | Admin::Accept
                | Admin::Export
                | Admin::Backup { .. }
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::client::fake::{Answer, FakeController, run};
    use crate::model::ids::JobId;
    use crate::wire::client::{Act, Receipt, Refusal, Selection, Submit, Verb};

    fn submit(key: &str) -> Request {
        Request::Submit(Submit { key: key.to_owned(), specs: vec![], contents: vec![], test_only: false })
    }

    fn submitted() -> Reply {
        Reply::Submitted { jobs: vec![JobId(7)], receipt: Receipt::default(), warnings: vec![] }
    }

    #[test]
    fn a_broken_request_is_repeated_under_the_same_key_until_it_is_answered() {
        run(async {
            let mut tries = 0;
            let fake = FakeController::start(move |_| {
                tries += 1;
                match tries {
                    1 => Answer::Die(vec![]),
                    2 => Answer::Stop(vec![]),
                    3 => Answer::Replies(vec![Reply::Refused(Refusal::new(RefusalCode::Busy, "later", ""))]),
                    4 => Answer::Replies(vec![]),
                    _ => Answer::Replies(vec![submitted()]),
                }
            });
            let mut client = Client::new(fake.config());
            assert_eq!(client.ask(&submit("k1")).await.unwrap(), submitted());
            assert_eq!(fake.requests(), vec![submit("k1"); 5]);
            client.finish().await;
        });
    }

    #[test]
    fn the_exit_code_says_whether_anything_can_have_been_accepted() {
        run(async {
            let mut fake = FakeController::start(|_| Answer::Die(vec![]));
            let patience = Duration::from_millis(300);
            let mut client = Client::new(fake.config()).patient(patience);
            let error = client.ask(&submit("k")).await.unwrap_err();
            assert!(matches!(error, ClientError::Unknown(_)) && error.exit_code() == 75, "{error}");
            let error = client.ask(&Request::Whoami).await.unwrap_err();
            assert_eq!(error.exit_code(), 69, "{error}");

            fake.restart(|_| Answer::Hold(vec![]));
            let error = Client::new(fake.config()).patient(patience).ask(&submit("k")).await.unwrap_err();
            assert_eq!(error.exit_code(), 75, "{error}");

            fake.restart(|_| {
                Answer::Replies(vec![Reply::Refused(Refusal::new(RefusalCode::NotAllowed, "no", ""))])
            });
            let error = Client::new(fake.config()).ask(&submit("k")).await.unwrap_err();
            assert_eq!(error.exit_code(), 77, "{error}");

            fake.kill();
            let error = Client::new(fake.config()).ask(&submit("k")).await.unwrap_err();
            assert!(matches!(error, ClientError::NotReached(_)) && error.exit_code() == 69, "{error}");
            let config = Config { key: "/nowhere/me.key".into(), ..fake.config() };
            assert_eq!(Client::new(config).ask(&submit("k")).await.unwrap_err().exit_code(), 78);
        });
    }

    #[test]
    fn a_closed_idle_connection_is_replaced_in_silence() {
        run(async {
            let fake = FakeController::start(|_| Answer::Die(vec![submitted()]));
            let mut client = Client::new(fake.config()).patient(Duration::from_secs(20));
            let notices = Rc::new(Cell::new(0));
            let heard = Rc::clone(&notices);
            client.on_notice(move |_| heard.set(heard.get() + 1));
            let act = Request::Act(Act {
                key: "k".to_owned(),
                verb: Verb::Hold,
                selection: Selection::default(),
                dry_run: false,
            });
            client.ask(&submit("k")).await.unwrap();
            // Until the close has arrived here.
            while client.connection.as_ref().is_some_and(|open| !open.is_gone()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            client.ask(&act).await.unwrap();
            assert_eq!((fake.requests().len(), notices.get()), (2, 0));
        });
    }
}
