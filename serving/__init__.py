"""An exported team answering bid requests: service, ledger, client. Only `serving.ray_app` needs ray."""
