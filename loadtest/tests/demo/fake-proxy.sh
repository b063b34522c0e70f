#!/bin/sh
# Called as `fake-proxy.sh run --config FILE`, in place of roompin-proxy. What it does is a "test" of tests/demo.rs.
FAKE_PROXY_CONFIG="$3" exec "$FAKE_PROXY_EXE" --exact --nocapture fake_proxy_process
