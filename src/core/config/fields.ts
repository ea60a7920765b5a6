import { type Cidr, CidrSet, parseCidr } from '../names/cidr.ts'
import type { Result } from '../result.ts'
import { z } from '../schema.ts'

/** What the sections of the config are made of. Text becomes domain types here and nowhere later. */

/** A string in its own notation, read once into a domain type. */
export function parsed<T>(parse: (text: string) => Result<T, string>, doc: string) {
  return z
    .string()
    .describe(doc)
    .transform((text, context): T => {
      const result = parse(text)
      if (result.ok) return result.value
      context.addIssue({ code: 'custom', message: result.error })
      return z.NEVER
    })
}

export const cidr = parsed(parseCidr, 'an address range, as in `10.0.0.0/8`, or one address')
export const cidrSet = (doc: string) =>
  z
    .array(cidr)
    .prefault([])
    .transform((cidrs: readonly Cidr[]) => CidrSet.of(cidrs))
    .describe(doc)

export const port = z.int().min(1).max(65535)
export const seconds = (value: number, doc: string) =>
  z.number().min(0).max(31_536_000).default(value).describe(`${doc} (seconds)`)
export const deadline = (value: number, doc: string) =>
  z.number().positive().max(31_536_000).default(value).describe(`${doc} (seconds)`)
export const count = (value: number, doc: string) => z.int().min(1).default(value).describe(doc)
export const bytes = (value: number, doc: string) => z.int().min(1024).default(value).describe(`${doc} (bytes)`)

/** Azure's name for the addresses of a service. */
export const serviceTag = z.string().regex(/^[A-Za-z][A-Za-z0-9 .-]*$/, 'a service tag is written as in `Storage.EastUS2`')

/** Names that the operator gives. */
export const name = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a name is made of letters, digits, `.`, `_` and `-`')
