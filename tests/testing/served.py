"""What a daemon serves of this project's API, as it lists it itself."""

import stubs  # noqa: F401: puts the services into the pool
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pool

_OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY


def methods(shmd):
    """The descriptors of all methods, by what grpcurl calls them
    ("shmd.v1.SegmentService/GetSegment")."""
    pool = descriptor_pool.Default()
    found = {}
    for service in shmd.grpcurl.plain("list").split():
        if not service.startswith("shmd."):
            continue
        described = pool.FindServiceByName(service)
        for line in shmd.grpcurl.plain("list", service).split():
            name = line.rpartition(".")[2]
            found["%s/%s" % (service, name)] = described.methods_by_name[name]
    return found


def texts(message, path=()):
    """(path, field) of each text that a caller may put into `message`, also
    within its members; the path has their names from the outermost on."""
    for field in message.fields:
        behaviors = field.GetOptions().Extensions[
            field_behavior_pb2.field_behavior]
        if _OUTPUT_ONLY in behaviors:
            continue
        here = path + (field.name,)
        if field.type == field.TYPE_STRING:
            yield here, field
        elif (field.message_type and len(here) < 3 and
              field.message_type.file.package == message.file.package):
            yield from texts(field.message_type, here)
