//! The binary form of a sealed chunk: the rounds of one target over a span of time, compressed with pco.
//!
//! ```text
//! version u8 · sections u16 · check of the directory u32
//! directory: per section  metric u32 (0 = the instants) · length u32 · check u32
//! sections:  instants     pco of i64
//!            metric       0 · pco of f32                            (a value in every round)
//!                         1 · length u32 · pco of u32 positions · pco of f32
//! ```
//!
//! Rounds of one target share their instants, so they are stored once. Every part carries a check (the first four
//! bytes of its SHA-256), because `SQLite` does not notice a changed byte inside a blob. Numbers are little-endian.

use pco::ChunkConfig;
use sha2::{Digest as _, Sha256};

use super::block::{Block, Column};

const VERSION: u8 = 1;
const HEADER: usize = 7;
const ENTRY: usize = 12;
/// Section id of the instants; ids of metrics begin at 1.
const INSTANTS: u32 = 0;
/// pco's level: see the figures in `docs/history.md`.
const LEVEL: usize = 8;

/// Why bytes are not a chunk.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChunkError {
    #[error("a chunk is of version {0}, this program reads version {VERSION}")]
    Version(u8),
    #[error("a chunk does not match its check")]
    Check,
    #[error("a chunk is cut short or malformed")]
    Malformed,
    #[error("a chunk cannot be compressed: {0}")]
    Compress(String),
}

fn check(bytes: &[u8]) -> u32 {
    let digest = Sha256::digest(bytes);
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn compress<T: pco::data_types::Number>(numbers: &[T]) -> Result<Vec<u8>, ChunkError> {
    let config = ChunkConfig::default().with_compression_level(LEVEL);
    pco::standalone::simple_compress(numbers, &config).map_err(|error| ChunkError::Compress(error.to_string()))
}

fn decompress<T: pco::data_types::Number>(bytes: &[u8]) -> Result<Vec<T>, ChunkError> {
    pco::standalone::simple_decompress(bytes).map_err(|_| ChunkError::Malformed)
}

/// Bytes of a block.
pub(super) fn encode(block: &Block) -> Result<Vec<u8>, ChunkError> {
    let mut sections = vec![(INSTANTS, compress(&block.at)?)];
    for column in &block.columns {
        let metric = u32::try_from(column.metric).map_err(|_| ChunkError::Malformed)?;
        sections.push((metric, encode_column(&column.values)?));
    }
    let mut directory = Vec::with_capacity(sections.len() * ENTRY);
    for (metric, bytes) in &sections {
        directory.extend_from_slice(&metric.to_le_bytes());
        directory.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        directory.extend_from_slice(&check(bytes).to_le_bytes());
    }
    let count = u16::try_from(sections.len()).map_err(|_| ChunkError::Malformed)?;
    let mut chunk = vec![VERSION];
    chunk.extend_from_slice(&count.to_le_bytes());
    chunk.extend_from_slice(&check(&directory).to_le_bytes());
    chunk.extend_from_slice(&directory);
    for (_, bytes) in &sections {
        chunk.extend_from_slice(bytes);
    }
    Ok(chunk)
}

fn encode_column(values: &[f32]) -> Result<Vec<u8>, ChunkError> {
    let mut bytes = Vec::new();
    let present = values.iter().filter(|value| !value.is_nan()).count();
    if present == values.len() {
        bytes.push(0);
        bytes.extend_from_slice(&compress(values)?);
        return Ok(bytes);
    }
    let mut positions = Vec::with_capacity(present);
    let mut kept = Vec::with_capacity(present);
    for (position, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
        positions.push(position as u32);
        kept.push(*value);
    }
    let positions = compress(&positions)?;
    bytes.push(1);
    bytes.extend_from_slice(&(positions.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&positions);
    bytes.extend_from_slice(&compress(&kept)?);
    Ok(bytes)
}

/// The block in a chunk's bytes, with the columns of `metrics` only, or with all of them.
pub(super) fn decode(chunk: &[u8], metrics: Option<&[i64]>) -> Result<Block, ChunkError> {
    let version = *chunk.first().ok_or(ChunkError::Malformed)?;
    if version != VERSION {
        return Err(ChunkError::Version(version));
    }
    let count = chunk.get(1..3).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
    let count = usize::from(count.ok_or(ChunkError::Malformed)?);
    let directory = chunk.get(HEADER..HEADER + count * ENTRY).ok_or(ChunkError::Malformed)?;
    if check(directory) != number(chunk, 3)? {
        return Err(ChunkError::Check);
    }
    let mut block = Block::default();
    let mut offset = HEADER + directory.len();
    for entry in directory.chunks_exact(ENTRY) {
        let metric = number(entry, 0)?;
        let length = number(entry, 4)? as usize;
        let wanted = metric == INSTANTS || metrics.is_none_or(|metrics| metrics.contains(&i64::from(metric)));
        let section = chunk.get(offset..offset + length).ok_or(ChunkError::Malformed)?;
        offset += length;
        if !wanted {
            continue;
        }
        if check(section) != number(entry, 8)? {
            return Err(ChunkError::Check);
        }
        if metric == INSTANTS {
            block.at = decompress(section)?;
        } else {
            let values = decode_column(section, block.at.len())?;
            block.columns.push(Column { metric: i64::from(metric), values });
        }
    }
    Ok(block)
}

fn decode_column(section: &[u8], rounds: usize) -> Result<Vec<f32>, ChunkError> {
    let (kind, rest) = section.split_first().ok_or(ChunkError::Malformed)?;
    if *kind == 0 {
        let values: Vec<f32> = decompress(rest)?;
        return if values.len() == rounds { Ok(values) } else { Err(ChunkError::Malformed) };
    }
    let length = number(rest, 0)? as usize;
    let positions = rest.get(4..4 + length).ok_or(ChunkError::Malformed)?;
    let positions: Vec<u32> = decompress(positions)?;
    let kept: Vec<f32> = decompress(&rest[4 + length..])?;
    if kept.len() != positions.len() {
        return Err(ChunkError::Malformed);
    }
    let mut values = vec![f32::NAN; rounds];
    for (position, value) in positions.iter().zip(kept) {
        *values.get_mut(*position as usize).ok_or(ChunkError::Malformed)? = value;
    }
    Ok(values)
}

fn number(bytes: &[u8], offset: usize) -> Result<u32, ChunkError> {
    bytes
        .get(offset..offset + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes)
        .ok_or(ChunkError::Malformed)
}
