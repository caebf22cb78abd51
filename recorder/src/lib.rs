//! Makes and sends events: numbering, disclosures, seals, acknowledgements
