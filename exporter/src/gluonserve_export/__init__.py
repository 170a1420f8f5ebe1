"""From a live Gluon network to a model that gluonserve serves, or to what stands in its way.

>>> import mxnet as mx
>>> from mxnet.gluon import nn
>>> from gluonserve_export import diagnose, export_model
>>> net = nn.Sequential()
>>> net.add(nn.Dense(8, activation="relu"), nn.Dense(3))
>>> net.initialize()
>>> x = mx.nd.random.uniform(shape=(2, 4))
>>> y = net(x)
>>> diagnose(net, x).codes
('sequential',)
>>> export_model(net, "models/tiny", x).folder.name
'1'
"""

from gluonserve_export.diagnosis import Diagnosis, diagnose
from gluonserve_export.errors import ExportError, ExportRefused, NotInferred, NotProven
from gluonserve_export.exporting import Exported, export_model
from gluonserve_export.findings import KINDS, Finding
from gluonserve_export.repairing import repair

__all__ = [
    "KINDS",
    "Diagnosis",
    "ExportError",
    "ExportRefused",
    "Exported",
    "Finding",
    "NotInferred",
    "NotProven",
    "diagnose",
    "export_model",
    "repair",
]
