//! A package as a response.

use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use query::DoorError;
use tokio_util::io::ReaderStream;

use crate::archive::write_zip;
use crate::package::Exported;

/// SHA-256 of the tag manifest, as recorded.
const DIGEST: HeaderName = HeaderName::from_static("exhibit-package-sha256");

/// Streams the package; its files are gone from the folder before the first byte is sent.
pub(super) async fn send(exported: Exported, folder: PathBuf) -> Result<Response, DoorError> {
    let range = exported.parameters.range;
    let name = format!("exhibit-{}-{}", range.start, range.end);
    let zip_path = folder.with_extension("zip");
    let zipped = tokio::task::spawn_blocking({
        let (name, zip_path) = (name.clone(), zip_path.clone());
        move || zip(&folder, &name, &zip_path)
    });
    let zipped = zipped.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let (file, size) = zipped.map_err(|error| {
        tracing::error!(%error, path = %zip_path.display(), "a package could not be zipped");
        DoorError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "disk",
            "the package could not be written",
        )
    })?;
    let mut response =
        Response::new(Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CONTENT_LENGTH, size.into());
    for (header, value) in [
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.zip\"")),
        (DIGEST, hex::encode(exported.digest)),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header, value);
        }
    }
    Ok(response)
}

/// The archive as an open file that no folder names any more.
fn zip(folder: &Path, name: &str, path: &Path) -> std::io::Result<(std::fs::File, u64)> {
    let made = write_zip(folder, name, path).and_then(|()| std::fs::File::open(path));
    let removed = std::fs::remove_dir_all(folder).and(match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    let file = made?;
    removed?;
    let size = file.metadata()?.len();
    Ok((file, size))
}
