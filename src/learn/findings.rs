//! What was found beside the profile, for people: patterns, and whether the profile before held.

use serde::{Deserialize, Serialize};

use super::{DecodeError, Pattern, Profile, Validation};

/// What was found beside the profile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Findings {
    /// Name of the zone by whose clock the profile was learnt.
    #[serde(default)]
    pub time_zone: String,
    /// Patterns of the series, strongest first.
    pub patterns: Vec<Pattern>,
    /// Whether the profile before this one held until it was learnt anew; `None` when there was none.
    pub validation: Option<Validation>,
}

/// Stored form of a profile and its findings: [`Profile::encode`], then JSON.
pub fn encode(profile: &Profile, findings: &Findings) -> Vec<u8> {
    let mut bytes = profile.encode();
    // Numbers that JSON cannot write do not occur: findings are made of shares and sigmas of finite samples.
    bytes.extend(serde_json::to_vec(findings).unwrap_or_default());
    bytes
}

/// Reads the stored form. Findings that cannot be read are none: they come again with the next refresh.
///
/// # Errors
/// [`DecodeError`] when the profile cannot be read.
pub fn decode(bytes: &[u8]) -> Result<(Profile, Findings), DecodeError> {
    let (profile, rest) = Profile::decode_first(bytes)?;
    Ok((profile, serde_json::from_slice(rest).unwrap_or_default()))
}
