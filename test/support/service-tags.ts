import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readTagFile, ServiceTags } from '../../src/core/azure/tag-file.ts'
import type { TagSource } from '../../src/core/policy/compile.ts'
import type { Cloud } from '../../src/core/policy/entry.ts'
import { AZURE, unwrap } from './policy.ts'

/** Excerpts of Microsoft's files: a few tags, of the long ones a few ranges. */
export const TAG_FILES: Readonly<Record<Cloud, string>> = {
  public: fixture('ServiceTags_Public_20251028.json'),
  government: fixture('ServiceTags_AzureGovernment_20260720.json'),
  china: fixture('ServiceTags_China_20260720.json'),
}

function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/service-tags/${name}`, import.meta.url))
}

export function tagJson(cloud: Cloud): unknown {
  return JSON.parse(readFileSync(TAG_FILES[cloud], 'utf8'))
}

/** All tags of an excerpt. */
export function tagSource(cloud: Cloud): TagSource {
  return {
    tags: new ServiceTags(unwrap(readTagFile(tagJson(cloud), cloud, AZURE.tags, () => true))),
    publishedSeconds: 1_761_609_600,
  }
}

/** The whole files, where they lie beside the project; they are no part of it. */
const SHARED = new URL('../../../shared/azure/service-tags/', import.meta.url)

export const REAL_FILES = (
  [
    ['public', 'ServiceTags_Public_20210726.json'],
    ['public', 'ServiceTags_Public_20251028.json'],
    ['government', 'ServiceTags_AzureGovernment_20260720.json'],
    ['china', 'ServiceTags_China_20210726.json'],
    ['china', 'ServiceTags_China_20260720.json'],
  ] as const
)
  .map(([cloud, name]) => ({ cloud, name, file: fileURLToPath(new URL(name, SHARED)) }))
  .filter(({ file }) => existsSync(file))
