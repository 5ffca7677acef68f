"""The figures of quality that labels give."""
