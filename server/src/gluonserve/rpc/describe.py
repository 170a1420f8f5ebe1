"""Metadata, configuration, statistics and index as the protocol's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gluonserve.rpc._proto import grpc_service_pb2 as pb
from gluonserve.rpc._proto import model_config_pb2 as config_pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gluonserve.dataplane import IndexEntry, ModelConfig, ModelMetadata, ServerMetadata
    from gluonserve.recording import Duration, ModelStatistics
    from gluonserve.tensors import TensorSpec

BACKEND = "gluonserve"


def server_metadata(metadata: ServerMetadata) -> pb.ServerMetadataResponse:
    """Who answers, with which extensions."""
    return pb.ServerMetadataResponse(
        name=metadata.name, version=metadata.version, extensions=metadata.extensions
    )


def model_metadata(metadata: ModelMetadata) -> pb.ModelMetadataResponse:
    """Inputs and outputs with whole shapes."""
    return pb.ModelMetadataResponse(
        name=metadata.name,
        versions=metadata.versions,
        platform=metadata.platform,
        inputs=[_tensor(spec) for spec in metadata.inputs],
        outputs=[_tensor(spec) for spec in metadata.outputs],
        properties=metadata.properties,
    )


def model_config(config: ModelConfig) -> pb.ModelConfigResponse:
    """How a model is served; ``dims`` leave the batch out where ``max_batch_size`` is above 0."""
    whole = config.max_batch_size == 0
    message = config_pb.ModelConfig(
        name=config.name,
        platform=config.platform,
        backend=BACKEND,
        max_batch_size=config.max_batch_size,
        instance_group=[_instances(config)],
        model_warmup=[
            config_pb.ModelWarmup(name=f"{rows} rows", batch_size=rows, count=1)
            for rows in config.warmup_rows
        ],
    )
    for spec in config.inputs:
        message.input.add(
            name=spec.name,
            data_type=_data_type(spec),
            dims=_dims(spec, whole=whole),
            optional=spec.optional,
        )
    for spec in config.outputs:
        message.output.add(
            name=spec.name,
            data_type=_data_type(spec),
            dims=_dims(spec, whole=whole),
            label_filename=config.labels,
        )
    if config.max_delay_us is not None:
        batching = message.dynamic_batching
        batching.max_queue_delay_microseconds = config.max_delay_us
        batching.default_queue_policy.allow_timeout_override = True
        batching.default_queue_policy.max_queue_size = config.max_queue_rows
    for key, value in config.parameters.items():
        message.parameters[key].string_value = value
    return pb.ModelConfigResponse(config=message)


def statistics(models: Sequence[ModelStatistics]) -> pb.ModelStatisticsResponse:
    """What versions did since they were loaded."""
    return pb.ModelStatisticsResponse(model_stats=[_statistics(model) for model in models])


def repository_index(entries: Sequence[IndexEntry]) -> pb.RepositoryIndexResponse:
    """Every version with its state and the reason for it."""
    return pb.RepositoryIndexResponse(
        models=[
            pb.RepositoryIndexResponse.ModelIndex(
                name=entry.name, version=entry.version, state=entry.state, reason=entry.reason
            )
            for entry in entries
        ]
    )


def _statistics(model: ModelStatistics) -> pb.ModelStatistics:
    return pb.ModelStatistics(
        name=model.name,
        version=model.version,
        last_inference=model.last_inference_ms,
        inference_count=model.inference_count,
        execution_count=model.execution_count,
        inference_stats=pb.InferStatistics(
            success=_duration(model.success),
            fail=_duration(model.fail),
            queue=_duration(model.queue),
            compute_input=_duration(model.compute_input),
            compute_infer=_duration(model.compute_infer),
            compute_output=_duration(model.compute_output),
        ),
        batch_stats=[
            pb.InferBatchStatistics(
                batch_size=batch.rows,
                compute_input=_duration(batch.compute_input),
                compute_infer=_duration(batch.compute_infer),
                compute_output=_duration(batch.compute_output),
            )
            for batch in model.batches
        ],
    )


def _duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns)


def _tensor(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.dtype.value, shape=spec.shape
    )


def _data_type(spec: TensorSpec) -> str:
    return f"TYPE_{spec.dtype.value}"


def _dims(spec: TensorSpec, *, whole: bool) -> tuple[int, ...]:
    return spec.shape if whole or spec.batch_axis is None else spec.shape[1:]


def _instances(config: ModelConfig) -> config_pb.ModelInstanceGroup:
    group = config_pb.ModelInstanceGroup
    kind, _, number = config.device.partition(":")
    if kind == "cuda":
        gpus = [int(number or 0)]
        return group(name=config.device, count=config.instances, kind=group.KIND_GPU, gpus=gpus)
    return group(name=config.device, count=config.instances, kind=group.KIND_CPU)
