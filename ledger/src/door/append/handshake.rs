//! The opening of a recorder's stream: whoever claims a name signs a challenge with its key.

use std::pin::Pin;

use proto::append::challenge_text;
use proto::ids::Id;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::{Answer, AppendRequest, Challenge, Open};
use tlog::VerifyingKey;
use tokio_stream::Stream;
use tonic::{Code, Status};

use super::{Answers, Doors, next, send, status};

/// The key that the recorder proved to hold, and the epoch that it opens.
pub(super) async fn handshake<S>(
    doors: &Doors,
    frames: &mut Pin<&mut S>,
    answers: &Answers,
) -> Result<(VerifyingKey, Id), Status>
where
    S: Stream<Item = Result<AppendRequest, Status>>,
{
    let Some(Request::Open(Open { recorder_id, epoch })) = next(frames).await? else {
        return Err(status::protocol("the first frame must be Open"));
    };
    let epoch = Id::from_slice(&epoch).ok_or_else(|| status::protocol("an epoch has 16 bytes"))?;
    // Whoever it is, it is asked for its key: nobody learns here which names are registered.
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce)
        .map_err(|_| status::status(Code::Internal, "randomness", "no randomness to be had"))?;
    let origin = doors.log.name();
    let challenge = Challenge { origin: origin.to_owned(), nonce: nonce.to_vec().into() };
    send(answers, Response::Challenge(challenge)).await?;

    let Some(Request::Answer(Answer { signature })) = next(frames).await? else {
        return Err(status::protocol("the second frame must be Answer"));
    };
    let text = challenge_text(origin, &recorder_id, epoch, &nonce);
    let key = doors.registry.authenticate(&recorder_id, text.as_bytes(), &signature);
    Ok((key.map_err(|refused| status::refused(&refused))?.clone(), epoch))
}
