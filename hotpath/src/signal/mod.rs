//! Signals: causal, incremental, fixed memory. Floats live here and nowhere else; no fused multiply-add and
//! one implementation of the transcendentals, so that every host computes the same bits.

mod zscore;

pub use zscore::RollingZ;
