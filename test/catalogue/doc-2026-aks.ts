/** What the AKS pages state. See doc-2026.ts. */

import type { StatedBlock } from './doc-2026.ts'

export const AKS_2026: readonly StatedBlock[] = [
  [
    'aks-inference',
    'AKS inference connectivity (v1)',
    `
public | <cluster>.hcp.<region>.azmk8s.io |  | 
public | mcr.microsoft.com |  | 
public | <ACR name>.azurecr.io |  | 
public | <account>.table.core.windows.net |  | 
public | <account>.blob.core.windows.net |  | 
public | api.azureml.ms |  | 
public | ingest-vienna<region>.kusto.windows.net |  | 
public | <leaf-domain-label + auto-generated suffix>.<region>.cloudapp.azure.com |  | 
`,
  ],
  [
    'aks-egress',
    'Azure Monitor per cloud (AKS page)',
    `
government | *.ods.opinsights.azure.us |  | 443
government | *.oms.opinsights.azure.us |  | 443
government | global.handler.control.monitor.azure.us |  | 443
government | <cluster-region-name>.handler.control.monitor.azure.us |  | 443
government | *.ingest.monitor.azure.us |  | 443
government | *.metrics.ingest.monitor.azure.us |  | 443
government | dc.services.visualstudio.com |  | 443
government | *.in.applicationinsights.azure.com |  | 443
china | *.ods.opinsights.azure.cn |  | 443
china | *.oms.opinsights.azure.cn |  | 443
china | global.handler.control.monitor.azure.cn |  | 443
china | <cluster-region-name>.handler.control.monitor.azure.cn |  | 443
china | *.ingest.monitor.azure.cn |  | 443
china | *.metrics.ingest.monitor.azure.cn |  | 443
china | dc.services.visualstudio.com |  | 443
china | *.in.applicationinsights.azure.com |  | 443
`,
  ],
  [
    'aks-egress',
    'Microsoft Entra authentication (Defender / cost analysis on AKS page)',
    `
china | login.microsoftonline.cn |  | 443
`,
  ],
  [
    'aks-egress',
    'Required outbound network rules and FQDNs for AKS clusters > Azure Global required network rules',
    `
public | *:1194 OR ServiceTag - AzureCloud.<Region>:1194 OR Regional CIDRs - RegionCIDRs:1194 OR APIServerPublicIP:1194 (only known after cluster creation) | UDP | 1194
public | *:9000 OR ServiceTag - AzureCloud.<Region>:9000 OR Regional CIDRs - RegionCIDRs:9000 OR APIServerPublicIP:9000 (only known after cluster creation) | TCP | 9000
public | *:123 or ntp.ubuntu.com:123 (if using Azure Firewall network rules) | UDP | 123
public | CustomDNSIP:53 (if using custom DNS servers) | UDP | 53
public | APIServerPublicIP:443 (if running pods/deployments, like Ingress Controller, that access the API Server) | TCP | 443
`,
  ],
  [
    'aks-egress',
    'Required outbound network rules and FQDNs for AKS clusters > Azure Global required FQDN / application rules',
    `
public | *.hcp.<location>.azmk8s.io | HTTPS | 443
public | mcr.microsoft.com | HTTPS | 443
public | *.data.mcr.microsoft.com | HTTPS | 443
public | mcr-0001.mcr-msedge.net | HTTPS | 443
public | management.azure.com | HTTPS | 443
public | login.microsoftonline.com | HTTPS | 443
public | packages.microsoft.com | HTTPS | 443
public | acs-mirror.azureedge.net | HTTPS | 443
public | packages.aks.azure.com | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'Required outbound network rules and FQDNs for AKS clusters > Microsoft Azure operated by 21Vianet required network rules',
    `
china | *:1194 OR ServiceTag - AzureCloud.<Region>:1194 OR Regional CIDRs - RegionCIDRs:1194 OR APIServerPublicIP:1194 (only known after cluster creation) | UDP | 1194
china | *:9000 OR ServiceTag - AzureCloud.<Region>:9000 OR Regional CIDRs - RegionCIDRs:9000 OR APIServerPublicIP:9000 (only known after cluster creation) | TCP | 9000
china | *:22 OR ServiceTag - AzureCloud.<Region>:22 OR Regional CIDRs - RegionCIDRs:22 OR APIServerPublicIP:22 (only known after cluster creation) | TCP | 22
china | *:123 or ntp.ubuntu.com:123 (if using Azure Firewall network rules) | UDP | 123
china | CustomDNSIP:53 (if using custom DNS servers) | UDP | 53
china | APIServerPublicIP:443 (if running pods/deployments, like Ingress Controller, that access the API Server) | TCP | 443
`,
  ],
  [
    'aks-egress',
    'Required outbound network rules and FQDNs for AKS clusters > Microsoft Azure operated by 21Vianet required FQDN / application rules',
    `
china | *.hcp.<location>.cx.prod.service.azk8s.cn | HTTPS | 443
china | *.tun.<location>.cx.prod.service.azk8s.cn | HTTPS | 443
china | mcr.microsoft.com | HTTPS | 443
china | *.data.mcr.microsoft.com | HTTPS | 443
china | management.chinacloudapi.cn | HTTPS | 443
china | login.chinacloudapi.cn | HTTPS | 443
china | packages.microsoft.com | HTTPS | 443
china | *.azk8s.cn | HTTPS | 443
china | mcr.azure.cn | HTTPS | 443
china | *.data.mcr.azure.cn | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'Required outbound network rules and FQDNs for AKS clusters > Azure US Government required network rules',
    `
government | *:1194 OR ServiceTag - AzureCloud.<Region>:1194 OR Regional CIDRs - RegionCIDRs:1194 OR APIServerPublicIP:1194 (only known after cluster creation) | UDP | 1194
government | *:9000 OR ServiceTag - AzureCloud.<Region>:9000 OR Regional CIDRs - RegionCIDRs:9000 OR APIServerPublicIP:9000 (only known after cluster creation) | TCP | 9000
government | *:123 or ntp.ubuntu.com:123 (if using Azure Firewall network rules) | UDP | 123
government | CustomDNSIP:53 (if using custom DNS servers) | UDP | 53
government | APIServerPublicIP:443 (if running pods/deployments, like Ingress Controller, that access the API Server) | TCP | 443
`,
  ],
  [
    'aks-egress',
    'Required outbound network rules and FQDNs for AKS clusters > Azure US Government required FQDN / application rules',
    `
government | *.hcp.<location>.cx.aks.containerservice.azure.us | HTTPS | 443
government | mcr.microsoft.com | HTTPS | 443
government | *.data.mcr.microsoft.com | HTTPS | 443
government | management.usgovcloudapi.net | HTTPS | 443
government | login.microsoftonline.us | HTTPS | 443
government | packages.microsoft.com | HTTPS | 443
government | acs-mirror.azureedge.net | HTTPS | 443
government | packages.aks.azure.com | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'Optional recommended FQDN / application rules for AKS clusters',
    `
all | security.ubuntu.com | HTTP | 80
all | azure.archive.ubuntu.com | HTTP | 80
all | changelogs.ubuntu.com | HTTP | 80
all | snapshot.ubuntu.com | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'GPU enabled AKS clusters required FQDN / application rules',
    `
all | nvidia.github.io | HTTPS | 443
all | us.download.nvidia.com | HTTPS | 443
all | download.docker.com | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'Windows Server based node pools required FQDN / application rules',
    `
all | onegetcdn.azureedge.net | HTTPS | 443
all | go.microsoft.com | HTTPS | 443
all | *.mp.microsoft.com | HTTP | 80
all | www.msftconnecttest.com | HTTP | 80
all | ctldl.windowsupdate.com | HTTP | 80
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Workload identity > Workload identity required FQDN / application rules',
    `
all | login.microsoftonline.com | HTTPS | 443
china | login.chinacloudapi.cn | HTTPS | 443
government | login.microsoftonline.us | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Microsoft Defender for Containers > Microsoft Defender for Containers required FQDN / application rules',
    `
public | login.microsoftonline.com | HTTPS | 443
government | login.microsoftonline.us | HTTPS | 443
china | login.microsoftonline.cn | HTTPS | 443
public | *.ods.opinsights.azure.com | HTTPS | 443
government | *.ods.opinsights.azure.us | HTTPS | 443
china | *.ods.opinsights.azure.cn | HTTPS | 443
public | *.oms.opinsights.azure.com | HTTPS | 443
government | *.oms.opinsights.azure.us | HTTPS | 443
china | *.oms.opinsights.azure.cn | HTTPS | 443
all | *.cloud.defender.microsoft.com | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Azure Key Vault provider for Secrets Store CSI Driver > Azure Key Vault provider for Secrets Store CSI Driver required FQDN / application rules',
    `
all | vault.azure.net | HTTPS | 443
government | *.vault.usgovcloudapi.net | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Azure Monitor - Managed Prometheus, Container Insights, and Azure Monitor Application Insights Autoinstrumentation > Required network rules',
    `
all | ServiceTag - AzureMonitor:443 | TCP | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Azure Monitor - Managed Prometheus, Container Insights, and Azure Monitor Application Insights Autoinstrumentation > Azure public cloud required FQDN / application rules',
    `
public | *.ods.opinsights.azure.com |  | 443
public | *.oms.opinsights.azure.com |  | 443
public | dc.services.visualstudio.com |  | 443
public | *.in.applicationinsights.azure.com |  | 443
public | *.monitoring.azure.com |  | 443
public | login.microsoftonline.com |  | 443
public | global.handler.control.monitor.azure.com |  | 443
public | *.ingest.monitor.azure.com |  | 443
public | *.metrics.ingest.monitor.azure.com |  | 443
public | <cluster-region-name>.handler.control.monitor.azure.com |  | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Azure Monitor - Managed Prometheus, Container Insights, and Azure Monitor Application Insights Autoinstrumentation > Microsoft Azure operated by 21Vianet cloud required FQDN / application rules',
    `
china | *.ods.opinsights.azure.cn |  | 443
china | *.oms.opinsights.azure.cn |  | 443
china | dc.services.visualstudio.com |  | 443
china | *.in.applicationinsights.azure.com |  | 443
china | global.handler.control.monitor.azure.cn |  | 443
china | <cluster-region-name>.handler.control.monitor.azure.cn |  | 443
china | *.ingest.monitor.azure.cn |  | 443
china | *.metrics.ingest.monitor.azure.cn |  | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Azure Monitor - Managed Prometheus, Container Insights, and Azure Monitor Application Insights Autoinstrumentation > Azure Government cloud required FQDN / application rules',
    `
government | *.ods.opinsights.azure.us |  | 443
government | *.oms.opinsights.azure.us |  | 443
government | dc.services.visualstudio.com |  | 443
government | *.in.applicationinsights.azure.com |  | 443
government | global.handler.control.monitor.azure.us |  | 443
government | <cluster-region-name>.handler.control.monitor.azure.us |  | 443
government | *.ingest.monitor.azure.us |  | 443
government | *.metrics.ingest.monitor.azure.us |  | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Azure Policy > Azure Policy required FQDN / application rules',
    `
all | data.policy.core.windows.net | HTTPS | 443
all | store.policy.core.windows.net | HTTPS | 443
all | dc.services.visualstudio.com | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Azure Policy > Microsoft Azure operated by 21Vianet required FQDN / application rules',
    `
china | data.policy.azure.cn | HTTPS | 443
china | store.policy.azure.cn | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > Azure Policy > Azure US Government required FQDN / application rules',
    `
government | data.policy.azure.us | HTTPS | 443
government | store.policy.azure.us | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'AKS features, add-ons, and integrations > AKS cost analysis add-on > AKS cost analysis add-on required FQDN / application rules',
    `
public | management.azure.com | HTTPS | 443
government | management.usgovcloudapi.net | HTTPS | 443
china | management.chinacloudapi.cn | HTTPS | 443
public | login.microsoftonline.com | HTTPS | 443
government | login.microsoftonline.us | HTTPS | 443
china | login.microsoftonline.cn | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'Cluster extensions > Cluster extensions required FQDN / application rules',
    `
all | <region>.dp.kubernetesconfiguration.azure.com | HTTPS | 443
all | mcr.microsoft.com | HTTPS | 443
all | *.data.mcr.microsoft.com | HTTPS | 443
all | arcmktplaceprod.azurecr.io | HTTPS | 443
all | arcmktplaceprod.centralindia.data.azurecr.io | HTTPS | 443
all | arcmktplaceprod.japaneast.data.azurecr.io | HTTPS | 443
all | arcmktplaceprod.westus2.data.azurecr.io | HTTPS | 443
all | arcmktplaceprod.westeurope.data.azurecr.io | HTTPS | 443
all | arcmktplaceprod.eastus.data.azurecr.io | HTTPS | 443
all | *.ingestion.msftcloudes.com | HTTPS | 443
all | *.microsoftmetrics.com | HTTPS | 443
all | marketplaceapi.microsoft.com | HTTPS | 443
`,
  ],
  [
    'aks-egress',
    'Cluster extensions > Cluster extensions required FQDN / application rules > Azure US Government required FQDN / application rules',
    `
government | <region>.dp.kubernetesconfiguration.azure.us | HTTPS | 443
government | mcr.microsoft.com | HTTPS | 443
government | *.data.mcr.microsoft.com | HTTPS | 443
`,
  ],
  [
    'aks-egress-2021',
    '2021 version > required network rules',
    `
public | *:1194 OR AzureCloud.<Region>:1194 OR RegionCIDRs:1194 OR APIServerPublicIP:1194 | UDP | 1194
public | *:9000 OR AzureCloud.<Region>:9000 OR RegionCIDRs:9000 OR APIServerPublicIP:9000 | TCP | 9000
public | *:123 or ntp.ubuntu.com:123 | UDP | 123
public | CustomDNSIP:53 | UDP | 53
public | APIServerPublicIP:443 | TCP | 443
china | *:1194 OR AzureCloud.<Region>:1194 OR RegionCIDRs:1194 OR APIServerPublicIP:1194 | UDP | 1194
china | *:9000 OR AzureCloud.<Region>:9000 OR RegionCIDRs:9000 OR APIServerPublicIP:9000 | TCP | 9000
china | *:22 OR AzureCloud.<Region>:22 OR RegionCIDRs:22 OR APIServerPublicIP:22 | TCP | 22
china | *:123 or ntp.ubuntu.com:123 | UDP | 123
china | CustomDNSIP:53 | UDP | 53
china | APIServerPublicIP:443 | TCP | 443
government | *:1194 OR AzureCloud.<Region>:1194 OR RegionCIDRs:1194 OR APIServerPublicIP:1194 | UDP | 1194
government | *:9000 OR AzureCloud.<Region>:9000 OR RegionCIDRs:9000 OR APIServerPublicIP:9000 | TCP | 9000
government | *:123 or ntp.ubuntu.com:123 | UDP | 123
government | CustomDNSIP:53 | UDP | 53
government | APIServerPublicIP:443 | TCP | 443
`,
  ],
  [
    'aks-egress-2021',
    '2021 version > required FQDN',
    `
public | *.hcp.<location>.azmk8s.io | HTTPS | 443
public | mcr.microsoft.com | HTTPS | 443
public | *.data.mcr.microsoft.com | HTTPS | 443
public | management.azure.com | HTTPS | 443
public | login.microsoftonline.com | HTTPS | 443
public | packages.microsoft.com | HTTPS | 443
public | acs-mirror.azureedge.net | HTTPS | 443
china | *.hcp.<location>.cx.prod.service.azk8s.cn | HTTPS | 443
china | *.tun.<location>.cx.prod.service.azk8s.cn | HTTPS | 443
china | mcr.microsoft.com | HTTPS | 443
china | .data.mcr.microsoft.com | HTTPS | 443
china | management.chinacloudapi.cn | HTTPS | 443
china | login.chinacloudapi.cn | HTTPS | 443
china | packages.microsoft.com | HTTPS | 443
china | *.azk8s.cn | HTTPS | 443
government | *.hcp.<location>.cx.aks.containerservice.azure.us | HTTPS | 443
government | mcr.microsoft.com | HTTPS | 443
government | *.data.mcr.microsoft.com | HTTPS | 443
government | management.usgovcloudapi.net | HTTPS | 443
government | login.microsoftonline.us | HTTPS | 443
government | packages.microsoft.com | HTTPS | 443
government | acs-mirror.azureedge.net | HTTPS | 443
`,
  ],
  [
    'aks-egress-2021',
    '2021 version > optional recommended',
    `
all | security.ubuntu.com | HTTP | 80
all | azure.archive.ubuntu.com | HTTP | 80
all | changelogs.ubuntu.com | HTTP | 80
`,
  ],
  [
    'aks-egress-2021',
    '2021 version > GPU',
    `
all | nvidia.github.io | HTTPS | 443
all | us.download.nvidia.com | HTTPS | 443
all | apt.dockerproject.org | HTTPS | 443
`,
  ],
  [
    'aks-egress-2021',
    '2021 version > Windows node pools',
    `
all | onegetcdn.azureedge.net | HTTPS | 443
all | go.microsoft.com | HTTPS | 443
all | *.mp.microsoft.com | HTTP | 80
all | www.msftconnecttest.com | HTTP | 80
all | ctldl.windowsupdate.com | HTTP | 80
`,
  ],
  [
    'aks-egress-2021',
    '2021 version > Azure Monitor for containers',
    `
all | AzureMonitor:443 | TCP | 443
all | dc.services.visualstudio.com | HTTPS | 443
all | *.ods.opinsights.azure.com | HTTPS | 443
all | *.oms.opinsights.azure.com | HTTPS | 443
all | *.monitoring.azure.com | HTTPS | 443
`,
  ],
  [
    'aks-egress-2021',
    '2021 version > Azure Policy',
    `
public | data.policy.core.windows.net | HTTPS | 443
public | store.policy.core.windows.net | HTTPS | 443
public | dc.services.visualstudio.com | HTTPS | 443
china | data.policy.azure.cn | HTTPS | 443
china | store.policy.azure.cn | HTTPS | 443
government | data.policy.azure.us | HTTPS | 443
government | store.policy.azure.us | HTTPS | 443
`,
  ],
  [
    'aks-egress-2021',
    '2021 version > cluster extensions',
    `
public | <region>.dp.kubernetesconfiguration.azure.com | HTTPS | 443
public | mcr.microsoft.com | HTTPS | 443
public | *.data.mcr.microsoft.com | HTTPS | 443
government | <region>.dp.kubernetesconfiguration.azure.us | HTTPS | 443
government | mcr.microsoft.com | HTTPS | 443
government | *.data.mcr.microsoft.com | HTTPS | 443
`,
  ],
  [
    'aks-inference',
    'AML: connectivity requirements for AKS inferencing cluster',
    `
public | <cluster>.hcp.<region>.azmk8s.io |  | 
public | mcr.microsoft.com |  | 
public | <ACR name>.azurecr.io |  | 
public | <account>.table.core.windows.net |  | 
public | <account>.blob.core.windows.net |  | 
public | api.azureml.ms |  | 
public | ingest-vienna<region>.kusto.windows.net |  | 
public | <leaf-domain-label + auto-generated suffix>.<region>.cloudapp.azure.com |  | 
`,
  ],
]
