//! Facts, authorization, masking and the canonical snapshot: the pure functions of a control
