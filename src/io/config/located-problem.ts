import type { Problem } from '../../core/problem.ts'

/** A place in a text. Both count from 1, columns in UTF-16 units, as editors do. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** A problem with the config file, as it is shown. */
export interface LocatedProblem {
  /** As the user gave it. */
  readonly file: string
  /** Absent where it is the file as a whole: it cannot be opened, or it is too large. */
  readonly place?: Place
  readonly severity: Problem['severity']
  readonly message: string
}

/** Long enough for every list of hosts that is told, short enough for a terminal: a message repeats what is in the file. */
const MESSAGE_CHARACTERS_MAX = 2_000

/** `config/gateway.yaml:14:12: message`, or `config/gateway.yaml:3:1: warning: message`; one line, without the line's end. */
export function formatProblem({ file, place, severity, message }: LocatedProblem): string {
  const where = place === undefined ? '' : `:${place.line}:${place.column}`
  const kind = severity === 'warning' ? 'warning: ' : ''
  return `${printable(file)}${where}: ${kind}${printable(bounded(message))}`
}

/**
 * The text without anything that moves a cursor, starts a line or turns the reading direction: control characters, line and
 * paragraph separators, bidirectional marks and lone surrogates become escapes.
 */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|\p{Surrogate}/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function bounded(text: string): string {
  return text.length > MESSAGE_CHARACTERS_MAX ? `${text.slice(0, MESSAGE_CHARACTERS_MAX)}...` : text
}
