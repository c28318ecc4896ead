"""From a catalog to the best epoch: the LightningModule, its data, its checks."""
