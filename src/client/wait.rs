//! Waits for jobs, over any number of restarts of the controller.

use crate::wire::client::{Reply, Request, Wait, WaitOutcome};

use super::connection::encode;
use super::error::{ClientError, Trouble};
use super::session::Client;

/// How far an array is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Ended tasks.
    pub ended: u64,
    /// Of them other than completed.
    pub bad: u64,
    /// Running tasks.
    pub running: u64,
    /// All tasks.
    pub total: u64,
}

impl Client {
    /// Waits until what was asked for is so. `progress` hears how far arrays are, if that was asked for. Dropping
    /// the future ends the waiting and nothing else.
    ///
    /// # Errors
    /// [`ClientError::NotReached`] only before the controller was first reached; refusals.
    pub async fn wait(
        &mut self,
        wait: &Wait,
        mut progress: impl FnMut(Progress),
    ) -> Result<Vec<WaitOutcome>, ClientError> {
        let body = encode(&Request::Wait(wait.clone()))?;
        loop {
            match self.try_wait(&body, &mut progress).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(trouble) => self.outlive(trouble).await?,
            }
        }
    }

    async fn try_wait(
        &mut self,
        body: &[u8],
        progress: &mut impl FnMut(Progress),
    ) -> Result<Vec<WaitOutcome>, Trouble> {
        let mut replies = self.send(body).await?;
        loop {
            match self.next(&mut replies).await? {
                Some(Reply::Waited { outcomes }) => return Ok(outcomes),
                Some(Reply::Progress { ended, bad, running, total }) => {
                    progress(Progress { ended, bad, running, total });
                }
                Some(other) => return Err(Trouble::Final(unexpected(&other))),
                None => {
                    let reason = "the controller ended the waiting".to_owned();
                    return Err(Trouble::Passing { sent: true, reason });
                }
            }
        }
    }
}

/// The exit code of waiting: of several jobs the highest (INTERFACE: Waiting).
pub fn exit_code(outcomes: &[WaitOutcome]) -> u8 {
    outcomes.iter().map(|outcome| outcome.code).max().unwrap_or(0)
}

/// A reply that does not belong to the request. Its contents are not shown: they may be anything.
pub fn unexpected(reply: &Reply) -> ClientError {
    let text = format!("{reply:?}");
    let kind: String = text.chars().take_while(|letter| letter.is_ascii_alphanumeric()).collect();
    ClientError::Protocol(format!("the controller answered with {kind}, which is no answer to that"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::fake::{Answer, FakeController, run};
    use crate::model::ids::JobId;
    use crate::model::state::State;
    use crate::wire::client::{Selection, Selector};

    fn waited(codes: &[u8]) -> Vec<WaitOutcome> {
        let one = |code: &u8| WaitOutcome { id: "7".to_owned(), state: State::Failed, code: *code };
        codes.iter().map(one).collect()
    }

    #[test]
    fn waiting_outlives_kills_stops_and_restarts() {
        run(async {
            let progress = |ended| Reply::Progress { ended, bad: 0, running: 1, total: 9 };
            let mut fake = FakeController::start({
                let mut tries = 0;
                move |_| {
                    tries += 1;
                    if tries == 1 { Answer::Die(vec![progress(1)]) } else { Answer::Stop(vec![progress(2)]) }
                }
            });
            let selection = Selection { selectors: vec![Selector::Number(JobId(7))], ..Selection::default() };
            let wait = Wait { selection, start: false, progress: true };
            let mut client = Client::new(fake.config());
            let (said, mut heard) = (tokio::sync::mpsc::unbounded_channel(), vec![]);
            let (tell, mut told) = said;
            let waiting = client.wait(&wait, |at| {
                heard.push(at.ended);
                let _ = tell.send(at.ended);
            });
            let restart = async {
                while told.recv().await != Some(2) {}
                fake.kill();
                fake.restart(move |_| {
                    Answer::Replies(vec![progress(8), Reply::Waited { outcomes: waited(&[3]) }])
                });
            };
            let (outcomes, ()) = tokio::join!(waiting, restart);
            assert_eq!(outcomes.unwrap(), waited(&[3]));
            assert!(heard.starts_with(&[1, 2]) && heard.ends_with(&[8]), "{heard:?}");
            assert!(fake.requests().iter().all(|request| *request == Request::Wait(wait.clone())));
        });
    }

    #[test]
    fn before_the_first_contact_there_is_nothing_to_outlive() {
        run(async {
            let mut fake = FakeController::start(|_| Answer::Hold(vec![]));
            fake.kill();
            let wait = Wait { selection: Selection::default(), start: false, progress: false };
            let error = Client::new(fake.config()).wait(&wait, |_| {}).await.unwrap_err();
            assert_eq!(error.exit_code(), 69);
        });
    }

    proptest! {
        #[test]
        fn the_highest_code_wins(codes in prop::collection::vec(any::<u8>(), 0..9)) {
            let highest = codes.iter().copied().max().unwrap_or(0);
            prop_assert_eq!(exit_code(&waited(&codes)), highest);
        }
    }
}
