from django.http import JsonResponse
from django.urls import path


def root(request):
    return JsonResponse({"message": "moin", "method": request.method, "query": request.GET.get("q")})


def echo(request):
    return JsonResponse({"body": request.body.decode()})


urlpatterns = [path("", root), path("echo/<str:name>/", lambda request, name: echo(request))]
