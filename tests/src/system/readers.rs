//! What readers ask of a system.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::System;
use crate::binary::Tool;
use crate::wait::until;

impl System {
    /// Asks SQL; the answer as JSON.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn sql(&self, token: &str, statement: &str) -> Result<Value> {
        let answer = self.ask_sql(token, statement, "application/json").await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status} for {statement}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Asks SQL; the HTTP response as it is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask_sql(
        &self,
        token: &str,
        statement: &str,
        accept: &str,
    ) -> Result<reqwest::Response> {
        let request = self.http.post(format!("{}/v1/sql", self.query()));
        let request = request.bearer_auth(token).header("accept", accept);
        Ok(request.header("content-type", "text/plain").body(statement.to_owned()).send().await?)
    }

    /// Asks until the rows satisfy `enough`, since a query node follows a moment behind; then the rows.
    ///
    /// # Errors
    /// When they do not within 20 seconds, or the query is refused.
    pub async fn rows(
        &self,
        token: &str,
        statement: &str,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>> {
        let enough = &enough;
        until(statement, Duration::from_secs(20), || async move {
            let answer = self.sql(token, statement).await?;
            let rows = answer["rows"].as_array().cloned().unwrap_or_default();
            ensure!(enough(&rows), "rows were {}", Value::from(rows));
            Ok(Some(rows))
        })
        .await
    }

    /// `exhibit` with this token and this query node.
    ///
    /// # Errors
    /// When it was not built.
    pub fn exhibit(&self, token: &str, args: &[&str]) -> Result<Tool> {
        let tool = Tool::exhibit(args)?.within(self.dir());
        Ok(tool.env("EXHIBIT_QUERY", self.query()).env("EXHIBIT_TOKEN", token))
    }

    /// A reader's HTTP client request to the query node.
    pub fn get(&self, token: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.query())).bearer_auth(token)
    }

    /// The checkpoint that the ledger publishes now.
    ///
    /// # Errors
    /// When it is not to be had, or is not signed by the log.
    pub async fn checkpoint(&self) -> Result<tlog::Checkpoint> {
        let url = format!("{}/checkpoint", self.ledger());
        let note = self.http.get(url).send().await?.error_for_status()?.text().await?;
        let log = tlog::VerifyingKey::parse(self.vkey("log"))?;
        Ok(tlog::open_checkpoint(&note, &log)?)
    }
}
