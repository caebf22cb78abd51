//! Bodies of requests, within a size and a time.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::LengthLimitError;

use super::error::DoorError;

/// How long a body may take, from its first byte to its last.
const DEADLINE: Duration = Duration::from_secs(30);

/// A whole body of at most `limit_bytes`; a longer one is refused under the code `too_large`.
///
/// # Errors
/// 413 when it is too long, 408 (`body_too_slow`) when it is not whole after 30 seconds, 400 (`body_cut`) when it
/// broke off.
pub async fn read_body(
    body: Body,
    limit_bytes: usize,
    too_large: &str,
) -> Result<Bytes, DoorError> {
    read_within(body, limit_bytes, too_large, DEADLINE).await
}

async fn read_within(
    body: Body,
    limit_bytes: usize,
    too_large: &str,
    deadline: Duration,
) -> Result<Bytes, DoorError> {
    let read = tokio::time::timeout(deadline, to_bytes(body, limit_bytes)).await;
    match read.map(|whole| whole.map_err(axum::Error::into_inner)) {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(DoorError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            too_large,
            format!("the request body has more than {limit_bytes} bytes: send a shorter one"),
        )),
        Ok(Err(_)) => Err(DoorError::new(
            StatusCode::BAD_REQUEST,
            "body_cut",
            "the request body broke off before its end: send it again",
        )),
        Err(_) => Err(DoorError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            format!("the request body was not whole after {deadline:?}: send it faster"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_has_a_size_and_a_time() {
        let soon = Duration::from_millis(20);
        let read = |body: Body| read_within(body, 4, "too_long", soon);
        assert_eq!(read(Body::from("1234")).await.unwrap(), "1234");
        let told = |error: DoorError| (error.status().as_u16(), error.code().to_owned());
        let code = |status, code: &str| (status, code.to_owned());
        let long = read(Body::from("12345")).await.unwrap_err();
        assert_eq!(long.message(), "the request body has more than 4 bytes: send a shorter one");
        assert_eq!(told(long), code(413, "too_long"));
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let stalled = read(stalled).await.unwrap_err();
        assert!(stalled.message().contains("20ms"), "{}", stalled.message());
        assert_eq!(told(stalled), code(408, "body_too_slow"));
        let cut = [Ok(Bytes::from("1")), Err(std::io::Error::other("reset"))];
        let cut = read(Body::from_stream(stream::iter(cut))).await.unwrap_err();
        assert_eq!(told(cut), code(400, "body_cut"));
    }
}
