# eastus2 (East US 2) is paired with centralus (Central US)
# addresses of change 375 of the service tags; they change: `sallyport routes --diff OLD NEW` says what a newer file changes
# IPv6 ranges are left out; `--ipv6` adds them
# this traffic passes the gateway by, in both directions: what nodes send to these addresses themselves is neither judged nor logged there
# the inbound rules belong to the security group of the compute subnet

resource "azurerm_route" "sallyport" {
  for_each = {
    "AzureMachineLearning-EastUS2-20.41.0.240-28"      = "20.41.0.240/28"
    "AzureMachineLearning-EastUS2-20.62.61.128-28"     = "20.62.61.128/28"
    "AzureMachineLearning-EastUS2-20.98.195.64-27"     = "20.98.195.64/27"
    "AzureMachineLearning-EastUS2-40.70.146.192-28"    = "40.70.146.192/28"
    "AzureMachineLearning-EastUS2-40.70.154.161-32"    = "40.70.154.161/32"
    "AzureMachineLearning-EastUS2-52.167.106.160-28"   = "52.167.106.160/28"
    "AzureMachineLearning-EastUS2-52.177.164.219-32"   = "52.177.164.219/32"
    "AzureMachineLearning-EastUS2-104.208.144.160-28"  = "104.208.144.160/28"
    "AzureMachineLearning-CentralUS-13.89.171.64-28"   = "13.89.171.64/28"
    "AzureMachineLearning-CentralUS-20.37.152.240-28"  = "20.37.152.240/28"
    "AzureMachineLearning-CentralUS-20.40.231.32-28"   = "20.40.231.32/28"
    "AzureMachineLearning-CentralUS-52.182.139.32-28"  = "52.182.139.32/28"
    "AzureMachineLearning-CentralUS-52.185.70.56-32"   = "52.185.70.56/32"
    "AzureMachineLearning-CentralUS-52.242.224.215-32" = "52.242.224.215/32"
    "AzureMachineLearning-CentralUS-104.208.16.160-28" = "104.208.16.160/28"
    "BatchNodeManagement-EastUS2-13.77.80.138-32"      = "13.77.80.138/32"
    "BatchNodeManagement-EastUS2-20.41.5.224-27"       = "20.41.5.224/27"
    "BatchNodeManagement-EastUS2-40.70.147.224-27"     = "40.70.147.224/27"
    "BatchNodeManagement-EastUS2-40.84.49.170-32"      = "40.84.49.170/32"
    "BatchNodeManagement-EastUS2-40.84.62.82-32"       = "40.84.62.82/32"
    "BatchNodeManagement-EastUS2-52.167.106.128-27"    = "52.167.106.128/27"
    "BatchNodeManagement-EastUS2-104.208.144.128-27"   = "104.208.144.128/27"
    "BatchNodeManagement-EastUS2-104.208.156.99-32"    = "104.208.156.99/32"
    "BatchNodeManagement-EastUS2-104.208.157.18-32"    = "104.208.157.18/32"
    "BatchNodeManagement-EastUS2-104.210.3.254-32"     = "104.210.3.254/32"
    "BatchNodeManagement-EastUS2-137.116.33.5-32"      = "137.116.33.5/32"
    "BatchNodeManagement-EastUS2-137.116.33.29-32"     = "137.116.33.29/32"
    "BatchNodeManagement-EastUS2-137.116.33.71-32"     = "137.116.33.71/32"
    "BatchNodeManagement-EastUS2-137.116.37.146-32"    = "137.116.37.146/32"
    "BatchNodeManagement-EastUS2-137.116.46.180-32"    = "137.116.46.180/32"
  }

  name                = each.key
  resource_group_name = "MyResourceGroup"
  route_table_name    = "MyRouteTable"
  address_prefix      = each.value
  next_hop_type       = "Internet"
}

resource "azurerm_network_security_rule" "azuremlinbound" {
  name                        = "AzureMLInbound"
  resource_group_name         = "MyResourceGroup"
  network_security_group_name = "MyNetworkSecurityGroup"
  priority                    = 200
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_address_prefix       = "AzureMachineLearning"
  source_port_range           = "*"
  destination_address_prefix  = "VirtualNetwork"
  destination_port_range      = "44224"
}

resource "azurerm_network_security_rule" "batchinbound" {
  name                        = "BatchInbound"
  resource_group_name         = "MyResourceGroup"
  network_security_group_name = "MyNetworkSecurityGroup"
  priority                    = 210
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_address_prefix       = "BatchNodeManagement.eastus2"
  source_port_range           = "*"
  destination_address_prefix  = "VirtualNetwork"
  destination_port_range      = "29876-29877"
}
