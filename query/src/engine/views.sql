-- The tables that are derived from `events`. The live service and the offline workbench run these very lines.

-- One row per exchange: its request, or the refusal that came before one, joined with what closed it.
CREATE VIEW exchanges AS
SELECT
  exchange_id,
  min(session_id) AS session_id,
  min(recorded_at) AS started_at,
  max(recorded_at) FILTER (WHERE closes) AS ended_at,
  min(subject) AS subject,
  min(issuer) AS issuer,
  min(principal_kind) AS principal_kind,
  min(groups) AS groups,
  min(source_address) AS source_address,
  min(server) AS server,
  min(era) FILTER (WHERE opens) AS era,
  min(method) AS method,
  min(tool) AS tool,
  min(foreign_name) FILTER (WHERE opens) AS foreign_name,
  min(resource_uri) FILTER (WHERE opens) AS resource_uri,
  min(arguments) FILTER (WHERE opens) AS arguments,
  min(auth_method) AS auth_method,
  min(verdict) FILTER (WHERE opens OR closes) AS verdict,
  min(policy_ids) FILTER (WHERE opens OR closes) AS policy_ids,
  min(closed_as) FILTER (WHERE closes) AS outcome,
  min(refusal) FILTER (WHERE closes) AS refusal,
  min(error_code) FILTER (WHERE closes) AS error_code,
  min(http_status) FILTER (WHERE closes) AS http_status,
  min(latency_ns) FILTER (WHERE closes) AS latency_ns,
  min(request_masks) AS request_masks,
  min(response_masks) FILTER (WHERE closes) AS response_masks,
  count(*) FILTER (WHERE kind = 'StreamMessage') AS stream_messages,
  count(*) FILTER (WHERE closes) AS closings,
  count(*) FILTER (WHERE closes) = 0 AS is_open,
  min(leaf_index) FILTER (WHERE opens) AS request_index,
  min(leaf_index) FILTER (WHERE closes) AS closing_index
FROM (
  SELECT
    *,
    kind = 'RequestReceived' AS opens,
    kind IN ('ResponseReturned', 'CallDenied', 'CallBlocked', 'Cancelled') AS closes,
    CASE kind
      WHEN 'ResponseReturned' THEN outcome
      WHEN 'CallDenied' THEN 'denied'
      WHEN 'CallBlocked' THEN 'blocked'
      WHEN 'Cancelled' THEN 'cancelled'
    END AS closed_as
  FROM events
  WHERE exchange_id IS NOT NULL
    AND kind IN (
      'RequestReceived', 'ResponseReturned', 'StreamMessage', 'CallDenied', 'CallBlocked',
      'ApprovalRequested', 'CallReleased', 'Cancelled')
) AS of_exchanges
GROUP BY exchange_id;

-- One row per session.
CREATE VIEW sessions AS
SELECT
  session_id,
  min(recorded_at) FILTER (WHERE kind = 'SessionOpened') AS opened_at,
  max(recorded_at) FILTER (WHERE kind = 'SessionClosed') AS closed_at,
  min(recorded_at) AS first_seen,
  max(recorded_at) AS last_seen,
  min(server) AS server,
  min(era) AS era,
  min(subject) AS subject,
  min(issuer) AS issuer,
  min(principal_kind) AS principal_kind,
  count(*) FILTER (WHERE kind = 'RequestReceived') AS requests,
  count(*) FILTER (WHERE kind = 'RequestReceived' AND method = 'tools/call') AS calls,
  count(*) FILTER (WHERE kind IN ('CallDenied', 'CallBlocked')) AS denied,
  count(*) FILTER (WHERE request_masks IS NOT NULL AND kind = 'RequestReceived'
    OR response_masks IS NOT NULL) AS masked,
  min(leaf_index) AS first_index,
  max(leaf_index) AS last_index
FROM events
WHERE session_id IS NOT NULL
GROUP BY session_id;

-- One row per recorder and epoch; `missing` is not 0 when a sequence number never arrived.
CREATE VIEW recorders AS
SELECT
  recorder_id,
  epoch,
  min(sequence) AS first_sequence,
  max(sequence) AS last_sequence,
  count(*) AS events,
  CAST(max(sequence) - min(sequence) + 1 AS BIGINT) - count(*) AS missing,
  count(*) FILTER (WHERE kind = 'RecorderSeal') AS seals,
  min(recorded_at) AS first_seen,
  max(recorded_at) AS last_seen,
  count(*) FILTER (WHERE kind = 'RecorderStopped') > 0 AS stopped,
  min(leaf_index) AS first_index,
  max(leaf_index) AS last_index
FROM events
WHERE recorder_id IS NOT NULL
GROUP BY recorder_id, epoch;
