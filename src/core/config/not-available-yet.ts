/** Keys that are planned and not there yet: refused by name, so that nobody relies on what does nothing. */
export const NOT_AVAILABLE_YET: readonly string[] = []
