# Every command that a person needs. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup setup-all demo serve export test lint format parity train-starter train-starter-short lock containers-check clean verify export-published-size maps-demo map-quality bench bench-maps bench-shared-memory soak monitoring-proof

SAT2SOUND := .venv/bin/sat2sound
PYTHON ?=
TORCH_INDEX ?=
export PYTHON TORCH_INDEX

help:  ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-21s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## create the two environments (.venv, .triton); done by the others as needed
	@sh tools/setup.sh runtime triton

setup-all:  ## everything in .venv: training, maps, gateway, test tools
	@sh tools/setup.sh all triton

demo: setup  ## what does this place sound like? [IMAGE=path LAT=.. LON=.. MONTH=1..12 HOUR=0..23]
	@$(SAT2SOUND) demo $(if $(IMAGE),--image "$(IMAGE)") $(if $(LAT),--latitude=$(LAT)) $(if $(LON),--longitude=$(LON)) \
	    $(if $(MONTH),--month=$(MONTH)) $(if $(HOUR),--hour=$(HOUR)) $(DEMO_OPTIONS)

export: setup  ## build the model repository of the starter into build/repository
	@$(SAT2SOUND) export

verify: export  ## check that the starter's repository still computes what torch computed
	@$(SAT2SOUND) verify build/repository

export-published-size: setup-all  ## minutes and memory of a model of the published size [PROFILE=cpu LAYERS=2]
	@.venv/bin/python -m benchmarks.export_published_size --profile $(or $(PROFILE),cpu) --layers $(or $(LAYERS),2)

serve: setup  ## run the server in the foreground on ports 8000 (HTTP), 8001 (gRPC), 8002 (metrics)
	@exec $(SAT2SOUND) serve --under-make $(SERVE_OPTIONS)

test: setup-all lint  ## lint, type check and run all tests
	@.venv/bin/python -m pytest $(PYTEST_OPTIONS)

lint: setup-all  ## ruff and mypy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@sh tools/link_for_typecheck.sh
	@.venv/bin/mypy build/typecheck/sat2sound tests

format: setup-all  ## let ruff format and mend what it can
	@.venv/bin/ruff check --fix -q . || true
	@.venv/bin/ruff format .

parity: setup-all  ## compare with the published model's numbers [DIR=../shared/parity]
	@.venv/bin/python tests/parity.py $(or $(DIR),../shared/parity)

train-starter: setup-all  ## train the starter again from DATA (default ../shared/data); one to three hours; goes on if stopped [TRAIN_OPTIONS=..]
	@$(SAT2SOUND) train --config starter --data $(or $(DATA),../shared/data) --out build/training --resume $(TRAIN_OPTIONS)

train-starter-short: setup-all  ## minutes of the same on few, small images: far from the starter, far above chance
	@$(SAT2SOUND) train --config starter-short --data $(or $(DATA),../shared/data) --out build/training-short --resume

maps-demo: setup-all  ## soundscape maps of the example areas as pictures [DATA=../shared/data]; synthetic without data
	@.venv/bin/python -m tools.maps_demo $(if $(DATA),--data "$(DATA)") $(MAPS_DEMO_OPTIONS)

map-quality: setup-all  ## how well a map tells known scenes apart [DATA=../shared/data]
	@.venv/bin/python -m benchmarks.map_quality $(if $(DATA),--data "$(DATA)")

bench: setup-all  ## served beside bare onnxruntime and FastAPI + torch [SUITE=published] [BENCH_OPTIONS=--quick]
	@.venv/bin/python -m benchmarks.serving --suite $(or $(SUITE),starter) $(BENCH_OPTIONS)

bench-maps: setup-all  ## speed and memory of maps, in ratios; about ten minutes
	@.venv/bin/python -m benchmarks.maps

bench-shared-memory: setup-all  ## what shared memory would save a client on the server's machine; about two minutes
	@.venv/bin/python -m benchmarks.shared_memory

soak: setup-all  ## SECONDS=300 of load at FACTOR=1.5 times the capacity, every answer compared, memory watched
	@.venv/bin/python -m benchmarks.soak --seconds $(or $(SECONDS),300) --factor $(or $(FACTOR),1.5) $(SOAK_OPTIONS)

monitoring-proof: setup-all  ## dashboards and rules against a real Prometheus, SECONDS=240 of load; draws docs/images/monitoring.png
	@SAT2SOUND_MONITORING_SECONDS=$(or $(SECONDS),240) SAT2SOUND_MONITORING_PICTURE=$(or $(OUT),docs/images/monitoring.png) \
	    .venv/bin/python -m pytest tests/k8s/test_monitoring_live.py

lock:  ## find the exact versions of all packages anew (requirements/*constraints.txt)
	@sh tools/lock.sh

containers-check: setup  ## would pip find what the three container files install? (asks the package index; builds no image)
	@.venv/bin/python -m tools.lock_image client,geo,gateway 3.11 --check requirements/constraints.txt
	@.venv/bin/python -m tools.lock_image client,geo,map 3.11 --check requirements/constraints.txt
	@.venv/bin/python -m tools.lock_image triton,fetch,tensorrt 3.12 --check requirements/triton-image-constraints.txt

clean:  ## remove built files; the environments stay
	@rm -rf build
