"""From slides to patients, and from patients to what a study asks: roll-up, agreement, response and survival."""
