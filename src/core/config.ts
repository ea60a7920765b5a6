import { admin } from './config/admin.ts'
import { audit } from './config/audit.ts'
import { clients } from './config/clients.ts'
import { destinations } from './config/destinations.ts'
import { dns } from './config/dns.ts'
import { count } from './config/fields.ts'
import { credentials, groups } from './config/groups.ts'
import { hooks } from './config/hooks.ts'
import { inspection } from './config/inspection.ts'
import { limits } from './config/limits.ts'
import { listen } from './config/listen.ts'
import { ruleSchema } from './config/rules.ts'
import { serviceTags } from './config/service-tags.ts'
import { subnet } from './config/subnet.ts'
import { transparent } from './config/transparent.ts'
import { upstream } from './config/upstream.ts'
import { workspace } from './config/workspace.ts'
import { MODES } from './policy/enforce.ts'
import { CLOUDS } from './policy/entry.ts'
import { z } from './schema.ts'

/**
 * The config file: every key with its unit, default and meaning, a section a file in `config/`. The JSON Schema, the reference in
 * `docs/` and the editor's completion are made from this one place.
 */

export const RELAY_SETTINGS = ['auto', 'portable'] as const
export type RelaySetting = (typeof RELAY_SETTINGS)[number]

export const configSchema = z.strictObject({
  cloud: z.enum(CLOUDS).default('public').describe('the Azure cloud the workspace is in'),
  editions: z
    .array(z.string())
    .min(1)
    .default(['2021-07-29', '2026-03-19'])
    .describe('editions of the documented allowlist, by date; what any of them lists is listed'),
  features: z.record(z.string(), z.boolean()).default({}).describe('groups of documented hosts, switched on or off by name'),
  workspace,
  mode: z.enum(MODES).default('enforce').describe('`report` lets would-be denials through, logged and counted'),
  listen,
  transparent,
  clients,
  groups,
  credentials,
  rules: z.array(ruleSchema).prefault([]).describe('what the operator adds to the documented allowlist, or takes from it'),
  include: z
    .array(z.string().min(1))
    .default([])
    .describe('files with more `rules`, each as in `team-a.yaml` or `rules.d/*.yaml`: teams can keep their own'),
  serviceTags,
  destinations,
  upstream,
  dns,
  inspection,
  hooks,
  subnet,
  admin,
  reload: z
    .strictObject({
      watch: z.boolean().default(true).describe('load again when the config or a file it names changes'),
      tunnels: z
        .enum(['recheck', 'keep'])
        .default('recheck')
        .describe('whether a new policy closes open tunnels that it no longer allows'),
    })
    .prefault({})
    .describe('what happens when the config changes'),
  stateDirectory: z.string().min(1).default('state').describe("the gateway's own files"),
  relay: z
    .enum(RELAY_SETTINGS)
    .default('auto')
    .describe(
      'what moves the bytes of tunnels: `auto` is the kernel relay where it was built at install, `portable` is Node alone',
    ),
  workers: z
    .union([z.int().min(1).max(64), z.literal('auto')])
    .default(1)
    .describe('processes that share the work; `auto` is one for each core, as far as the CPU quota goes'),
  audit,
  metrics: z
    .strictObject({ deniedHosts: count(200, 'hosts with a denial series of their own') })
    .prefault({})
    .describe('bounds of the metrics'),
  answers: z
    .strictObject({ hints: z.enum(['full', 'code']).default('full').describe('`code` tells clients the reason code alone') })
    .prefault({})
    .describe('what a refused client is told'),
  limits,
})

/** The config with every default filled in. */
export type Config = z.output<typeof configSchema>
export type Limits = Config['limits']
export type Rule = z.output<typeof ruleSchema>
