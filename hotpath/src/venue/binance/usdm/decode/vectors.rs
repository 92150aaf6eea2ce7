//! The ways for frequent frames, under the instruction set of the processor.

#![expect(unsafe_code, reason = "features are enabled here, where the set was found to be available")]

use super::{
    Event,
    diffs::{self, Diffs},
    layouts::Layouts,
};
use crate::{
    market::{LEVELS_MAX, MarketKind},
    wire::{
        simd::{Isa, Kernel},
        text::Text,
    },
};
use tickpath_shared::types::InstrumentDefinition;

/// Decoder of the frequent frames.
pub(super) struct Vectors {
    isa: Isa,
    layouts: Layouts,
    diffs: Diffs,
    scratch: Event,
}

impl Vectors {
    pub(super) fn new(isa: Isa, instruments: &[InstrumentDefinition]) -> Self {
        let scratch = Event::with_room(2);
        Self { isa, layouts: Layouts::new(), diffs: Diffs::new(instruments), scratch }
    }

    /// Room for levels that an event needs: what the kernels write beyond the last is included.
    pub(super) const fn levels_room() -> usize {
        LEVELS_MAX + diffs::LEVELS_AHEAD
    }

    /// Decodes a frame; `None` for one that neither way knows. The event's levels are empty before.
    #[inline]
    pub(super) fn decode(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the set is only chosen where the processor has it.
            Isa::Avx512 => unsafe { self.decode_avx512(text, event) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2 => unsafe { self.decode_avx2(text, event) },
            _ => self.diffs.decode_plain(text, event),
        }
    }

    /// Learns from a frame that the walk decoded into `event`. Off the common path, without allocating.
    pub(super) fn learn(&mut self, text: Text<'_>, instruments: &[InstrumentDefinition], event: &Event) {
        match self.isa {
            _ if event.header.market_kind() == MarketKind::Depth => {
                self.diffs.learn(event.header.instrument, text.as_bytes());
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the set is only chosen where the processor has it.
            Isa::Avx512 => unsafe { self.learn_avx512(text, instruments, event) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2 => unsafe { self.learn_avx2(text, instruments, event) },
            _ => {}
        }
    }

    /// # Safety
    ///
    /// The caller enables the kernel's features.
    #[inline(always)]
    unsafe fn decode_with<K: Kernel>(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        // SAFETY: the features are enabled.
        unsafe {
            match self.layouts.decode::<K>(text, event) {
                Some(()) => Some(()),
                None => self.diffs.decode::<K>(text, event),
            }
        }
    }

    /// The same with AVX-512.
    ///
    /// # Safety
    ///
    /// The processor has these features.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn decode_avx512(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        // SAFETY: the features are enabled.
        unsafe { self.decode_with::<crate::wire::simd::Avx512>(text, event) }
    }

    /// The same with AVX2.
    ///
    /// # Safety
    ///
    /// The processor has these features.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn decode_avx2(&mut self, text: Text<'_>, event: &mut Event) -> Option<()> {
        // SAFETY: the features are enabled.
        unsafe { self.decode_with::<crate::wire::simd::Avx2>(text, event) }
    }

    /// The same with AVX-512.
    ///
    /// # Safety
    ///
    /// The processor has these features.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn learn_avx512(&mut self, text: Text<'_>, instruments: &[InstrumentDefinition], event: &Event) {
        let Self { layouts, scratch, .. } = self;
        // SAFETY: the features are enabled.
        unsafe { layouts.learn::<crate::wire::simd::Avx512>(text, instruments, event, scratch) }
    }

    /// The same with AVX2.
    ///
    /// # Safety
    ///
    /// The processor has these features.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    unsafe fn learn_avx2(&mut self, text: Text<'_>, instruments: &[InstrumentDefinition], event: &Event) {
        let Self { layouts, scratch, .. } = self;
        // SAFETY: the features are enabled.
        unsafe { layouts.learn::<crate::wire::simd::Avx2>(text, instruments, event, scratch) }
    }
}
