"""JSON Schemas of models, as documents for people show them."""

from pydantic.json_schema import GenerateJsonSchema


class Plain(GenerateJsonSchema):
    """Without titles that only repeat the names of fields."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False
